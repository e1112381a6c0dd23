package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// socketMode lets the service's user and group connect, whatever the umask.
const socketMode = 0o660

func listen(ctx context.Context, network, address string) (net.Listener, error) {
	var config net.ListenConfig
	if network == "unix" {
		return listenUnix(ctx, config, address)
	}
	listener, err := config.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another program has it, maybe another mailu-rotator: set listen.address", reasonOf(err))
	}
	return listener, reasonOf(err)
}

// listenUnix replaces a socket on which nobody listens, which a killed process leaves
// behind, and nothing else.
func listenUnix(ctx context.Context, config net.ListenConfig, path string) (net.Listener, error) {
	listener, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(ctx, path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		listener, err = config.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, reasonOf(err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = listener.Close() // report the error about the mode, not this one
		return nil, err
	}
	return listener, nil
}

func abandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// reasonOf strips the address that net.OpError repeats.
func reasonOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// startUp measures the time from exec to the first byte that reaches Vault, and the
// size of the binary.
func (b *bench) startUp(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	f := &fleet{prefix: "start", vault: "http://" + listener.Addr().String(), mailus: anOrigin}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	var all series
	for range b.size.Starts {
		took, err := b.firstByte(ctx, listener, f)
		if err != nil {
			return err
		}
		all = append(all, float64(took.Microseconds())/1000)
	}
	r := row{Key: "start", What: "start to first request", Against: fmt.Sprintf("the median of %d", len(all)), Unit: "ms", Tolerance: 0.5}
	b.add(r.bounded(all.median(), 50))
	file, err := os.Stat(b.program)
	if err != nil {
		return err
	}
	b.add(row{Key: "binary", What: "binary size", Unit: "MB", Measured: float64(file.Size()) / mb, Tolerance: 1})
	return nil
}

func (b *bench) firstByte(ctx context.Context, listener net.Listener, f *fleet) (time.Duration, error) {
	first := make(chan time.Time, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return // closed at the end of the part
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			first <- time.Now()
		}
	}()
	begun := time.Now()
	p, err := start(exec.Command(b.program, "--config", f.config))
	if err != nil {
		return 0, err
	}
	defer p.kill()
	select {
	case at := <-first:
		return at.Sub(begun), nil
	case <-p.exited:
		return 0, fmt.Errorf("%s ended without a request; it said last:\n%s", b.program, p.log.tail())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

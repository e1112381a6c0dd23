package faultproxy

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

// accepting returns the address of a server.
func accepting(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// dialFrom connects from a given address, nil for any, which another connection to another
// server may have too.
func dialFrom(t *testing.T, local net.Addr, to string) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: local, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// kernelName reads the name of a connection's socket from its file.
func kernelName(t *testing.T, conn *net.TCPConn) string {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// A client on a busy host has the same port in connections to several servers.
func TestSocketsWithOneLocalAddress(t *testing.T) {
	first := dialFrom(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, accepting(t))
	second := dialFrom(t, first.LocalAddr(), accepting(t))

	for _, conn := range []*net.TCPConn{first, second} {
		if got, want := socketOf(conn.LocalAddr(), conn.RemoteAddr()), kernelName(t, conn); got != want {
			t.Errorf("from %s to %s: got %q, want %q", conn.LocalAddr(), conn.RemoteAddr(), got, want)
		}
	}
}

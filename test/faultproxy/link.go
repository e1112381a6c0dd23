package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Link is the network between clients and one TCP server, which can be cut: bytes wait
// and no connection ends, as where a host or a route is lost. What waits arrives after
// Heal, as TCP repeats it. All methods may be called at any time, from any goroutine.
type Link struct {
	Addr string // for the clients, 127.0.0.1:port

	target    string
	listener  net.Listener
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	requests  gate // towards the server; new connections too
	answers   gate // towards the clients
	transfers sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	watch func(sent []byte) (pass bool)
	open  map[*connection]bool
	apart []int // the processes that CutFrom named
}

// connection is one between a client and the server.
type connection struct {
	socket string // the client's, see socketOf
	cut    gate   // by CutFrom
}

// NewLink starts a link to the server at target, host:port.
func NewLink(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the link: %w", err)
	}
	l := &Link{Addr: listener.Addr().String(), target: target, listener: listener, open: map[*connection]bool{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.transfers.Go(l.accept)
	return l, nil
}

// Cut stops both directions: a partition.
func (l *Link) Cut() {
	l.requests.shut()
	l.answers.shut()
}

// CutAnswers stops only what the server sends: requests take effect unseen.
func (l *Link) CutAnswers() { l.answers.shut() }

// CutFrom stops both directions for the connections of one process on this host: a
// partition between two of several servers. It knows them by /proc, so on Linux only.
func (l *Link) CutFrom(pid int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sockets, err := socketsOf(pid)
	if err != nil {
		return fmt.Errorf("cut the link from process %d: %w", pid, err)
	}
	l.apart = append(l.apart, pid)
	for c := range l.open {
		if sockets[c.socket] {
			c.cut.shut()
		}
	}
	return nil
}

// Heal opens both directions, for all.
func (l *Link) Heal() {
	l.requests.open()
	l.answers.open()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apart = nil
	for c := range l.open {
		c.cut.open()
	}
}

// admit registers a connection of a client.
func (l *Link) admit(client net.Conn) (c *connection, end func()) {
	c = &connection{socket: socketOf(client.RemoteAddr(), client.LocalAddr())}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pid := range l.apart {
		if sockets, err := socketsOf(pid); err == nil && sockets[c.socket] {
			c.cut.shut()
		}
	}
	l.open[c] = true
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}
}

// Watch calls f with everything that a client sends from now on, before it passes on, from
// several goroutines at once. If f returns false the bytes are dropped, and their
// connection. nil ends it.
func (l *Link) Watch(f func(sent []byte) (pass bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = f
}

// passes asks the watcher, if there is one.
func (l *Link) passes(sent []byte) bool {
	l.mu.Lock()
	watch := l.watch
	l.mu.Unlock()
	return watch == nil || watch(sent)
}

// Close drops all connections.
func (l *Link) Close() {
	l.cancel()
	l.listener.Close()
	l.transfers.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.transfers.Go(func() { l.join(client) })
	}
}

// join connects a client with the server until both have ended or one is reset.
func (l *Link) join(client net.Conn) {
	defer closeOnEnd(l.ctx, client)()
	c, end := l.admit(client)
	defer end()
	if !l.requests.pass(l.ctx) || !c.cut.pass(l.ctx) {
		return
	}
	server, err := new(net.Dialer).DialContext(l.ctx, "tcp", l.target)
	if err != nil {
		abort(client) // a dead server looks dead through the link too
		return
	}
	defer closeOnEnd(l.ctx, server)()
	var both sync.WaitGroup
	both.Go(func() { l.transfer(server, client, &l.requests, c) })
	both.Go(func() { l.transfer(client, server, &l.answers, c) })
	both.Wait()
}

// transfer copies until the end of from, and hands that on as well.
func (l *Link) transfer(to, from net.Conn, way *gate, c *connection) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !way.pass(l.ctx) || !c.cut.pass(l.ctx) {
			return
		}
		if n > 0 && way == &l.requests && !l.passes(buffer[:n]) {
			abort(from)
			abort(to)
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				abort(from)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.(*net.TCPConn).CloseWrite() // error: it has ended too
			return
		}
		if err != nil {
			abort(to)
			return
		}
	}
}

// closeOnEnd closes the connection when the context ends or the result is called.
func closeOnEnd(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return func() {
		stop()
		conn.Close()
	}
}

// abort ends a connection with a TCP reset.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0) // error: it has ended
	conn.Close()
}

// gate lets callers pass while it is open; the zero value is open.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil while open, else closed when it opens
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// pass waits until the gate is open. It returns false if the context ends before.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened == nil {
		return true
	}
	select {
	case <-opened:
		return true
	case <-ctx.Done():
		return false
	}
}

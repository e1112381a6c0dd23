package vault

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// nodes are the places where one Vault can be asked: the addresses of the [Config], and
// every address that their names have. All requests go to one of them, until it cannot
// serve; then to the next. Any node of a cluster will do, since a standby forwards.
type nodes struct {
	cfg       Config
	tls       *tls.Config
	addresses []*url.URL   // at least one
	fixed     bool         // current stays
	size      atomic.Int64 // how many places were known when a node was last chosen

	mu      sync.Mutex // guards the fields below
	current *node      // nil: to be chosen
	left    *node      // that current was
}

// node is one place. It has its own connections, so that none leads to a node that was
// left.
type node struct {
	address   *url.URL                   // scheme, host and port; its name is the one in the certificate
	pinned    netip.AddrPort             // what to connect to; invalid: what the name has
	reached   atomic.Pointer[netip.Addr] // the last that answered
	transport *http.Transport
}

const (
	connectTimeout = 5 * time.Second // and as much again for TLS
	lookUpTimeout  = 5 * time.Second // of the addresses of a name
	// A host that is gone, or stands still, closes no connection; what is waiting there
	// gets an error after the sum. Vault answers pings however long a request takes.
	pingAfter, pingTimeout = 2 * time.Second, 3 * time.Second
)

func newNodes(cfg Config, secured *tls.Config) *nodes {
	n := &nodes{cfg: cfg, tls: secured}
	for _, address := range append([]string{cfg.Address}, cfg.OtherAddresses...) {
		if at, err := url.Parse(address); err == nil { // it was checked
			n.addresses = append(n.addresses, at)
		}
	}
	n.size.Store(int64(len(n.addresses)))
	return n
}

// get returns the node to ask.
func (n *nodes) get(ctx context.Context) *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != nil {
		return n.current
	}
	if n.left == nil {
		n.current = n.open(&node{address: n.addresses[0]})
		return n.current
	}
	places := n.places(ctx)
	n.size.Store(int64(len(places)))
	last := slices.IndexFunc(places, n.left.isAt)
	if next := places[(last+1)%len(places)]; n.left.isAt(next) {
		n.current = n.left // there is no other
	} else {
		n.current = n.open(next)
	}
	return n.current
}

// leave has the next request go to another node, unless that is so already.
func (n *nodes) leave(from *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == from && !n.fixed {
		n.current, n.left = nil, from
	}
	from.transport.CloseIdleConnections() // the others close when they are no longer used
}

// only is one place of the nodes, which is never left.
func (n *nodes) only(place *node) *nodes {
	one := &nodes{cfg: n.cfg, tls: n.tls, fixed: true}
	one.current = one.open(place)
	one.size.Store(1)
	return one
}

// close drops the idle connections.
func (n *nodes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range []*node{n.current, n.left} {
		if one != nil {
			one.transport.CloseIdleConnections()
		}
	}
}

// places returns every place, in a stable order. A name that a proxy looks up, or that
// nobody knows now, is one place.
func (n *nodes) places(ctx context.Context) []*node {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	var all []*node
	for _, at := range n.addresses {
		whole := &node{address: at}
		if proxy, err := proxyOf(&http.Request{URL: at}); proxy != nil || err != nil {
			all = append(all, whole)
			continue
		}
		found, err := n.cfg.Resolver.LookupNetIP(ctx, "ip", at.Hostname())
		if err != nil || len(found) < 2 {
			all = append(all, whole)
			continue
		}
		slices.SortFunc(found, netip.Addr.Compare) // resolvers shuffle
		for _, ip := range found {
			all = append(all, &node{address: at, pinned: netip.AddrPortFrom(ip.Unmap(), portOf(at))})
		}
	}
	return all
}

// String is what the place is, for people.
func (n *node) String() string {
	if n.pinned.IsValid() {
		return fmt.Sprintf("%s (%s)", n.address, n.pinned.Addr())
	}
	return n.address.String()
}

// isAt reports whether a place is the node's.
func (n *node) isAt(place *node) bool {
	if n.address.Host != place.address.Host {
		return false
	}
	if n.pinned.IsValid() || !place.pinned.IsValid() {
		return n.pinned == place.pinned
	}
	reached := n.reached.Load()
	return reached != nil && *reached == place.pinned.Addr()
}

// open gives the node its connections.
func (n *nodes) open(at *node) *node {
	conns := n.cfg.Workers + spareConns
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, Resolver: n.cfg.Resolver}
	at.transport = &http.Transport{
		Proxy: proxyOf,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if at.pinned.IsValid() { // so there is no proxy
				address = at.pinned.String()
			}
			conn, err := dialer.DialContext(ctx, network, address)
			if err == nil {
				if peer, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
					ip := peer.Addr().Unmap()
					at.reached.Store(&ip)
				}
			}
			return conn, err
		},
		TLSClientConfig:     n.tls.Clone(), // HTTP/2 adds to it
		TLSHandshakeTimeout: connectTimeout,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConns:        conns,
		MaxIdleConnsPerHost: conns,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	return at
}

// readdress returns the request as it goes to the node. The addresses differ only in host
// and port.
func (n *node) readdress(req *http.Request) *http.Request {
	if req.URL.Host == n.address.Host {
		return req
	}
	moved, to := *req, *req.URL
	to.Host = n.address.Host
	moved.URL, moved.Host = &to, ""
	return &moved
}

func portOf(u *url.URL) uint16 {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	number, _ := strconv.ParseUint(port, 10, 16) // of a URL that was checked
	return uint16(number)
}

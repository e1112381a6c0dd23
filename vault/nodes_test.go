package vault_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"mailu-rotator/rotator"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

// looked returns the checks of a cluster's nodes, one a line.
func looked(t *testing.T, c *clustered, first *vaulttest.Server) (checks, nodes string) {
	t.Helper()
	cfg := c.config(first, true)
	cfg.Patience = 2 * time.Second
	one, each := outside(t, cfg, c.auth).Check(t.Context())
	lines := func(all []rotator.Check) string {
		var text strings.Builder
		for _, check := range all {
			text.WriteString(string(check.State) + " " + check.Name + ": " + check.Found + " -> " + check.Fix + "\n")
		}
		return text.String()
	}
	return lines(one), lines(each)
}

func TestHealthNamesEveryNode(t *testing.T) {
	c := newClustered(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	sealed, dead := c.Followers(leader)[0], c.Followers(leader)[1]
	want := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("got\n%s\nwant %q", text, part)
			}
		}
	}

	_, nodes := looked(t, c, sealed)

	want(nodes, "ok node "+leader.Addr+": active, Vault ", "ok node "+sealed.Addr+": standby, Vault ", "ok node "+dead.Addr+": standby, Vault ")

	must(t, sealed.RestartSealed(t.Context())) // a standby cannot be sealed

	checks, nodes := looked(t, c, sealed)

	want(checks, "ok reachable: Vault ", " at "+leader.Addr, "ok active node: ")
	want(nodes, "failed node "+sealed.Addr+": sealed, Vault ", "vault operator unseal", "ok node "+leader.Addr+": active")

	dead.Kill()
	eventually(t, func() bool {
		checks, nodes = looked(t, c, sealed)
		return strings.Contains(checks, "failed active node: a standby without a leader")
	})

	want(nodes, "failed node "+dead.Addr+": ", "connection refused", "ok node "+leader.Addr+": standby")
}

func eventually(t *testing.T, happened func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !happened(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("did not happen within a minute")
		}
	}
}

// Tokens and passwords must not go to another Vault because of a wrong entry.
func TestHealthNamesANodeOfAnotherCluster(t *testing.T) {
	f, stranger := newFixture(t), vaulttest.Run(t, vaulttest.Options{})
	f.config.OtherAddresses = []string{stranger.Addr}

	_, nodes := outside(t, f.config, f.rootAuth()).Check(t.Context())

	if len(nodes) != 2 || nodes[0].State != rotator.CheckOK || nodes[1].State != rotator.CheckFailed ||
		!strings.Contains(nodes[1].Found, "another cluster") || !strings.Contains(nodes[1].Fix, "vault.other_addresses") {
		t.Errorf("got %+v", nodes)
	}
}

// nameServer answers every question for an address of IPv4 with these, shuffled each time.
func nameServer(t *testing.T, addresses ...[4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 512)
		addresses, chance := slices.Clone(addresses), rand.New(rand.NewPCG(1, 2))
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return // closed
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil {
				continue
			}
			message.Response, message.Authoritative = true, true
			message.Additionals = nil
			for _, q := range message.Questions {
				if q.Type == dnsmessage.TypeA {
					chance.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
				}
				for _, ip := range addresses {
					if q.Type == dnsmessage.TypeA {
						header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
						message.Answers = append(message.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip}})
					}
				}
			}
			if answer, err := message.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// nodeAt is what a node of the name answers: what Vault does, or a fixed status.
type nodeAt struct {
	status atomic.Int64 // 0: as Vault
	asked  atomic.Int64
}

// refusals are the answers of a node that cannot serve.
var refusals = map[int]string{
	307: "",
	472: `{"errors":["path disabled in replication DR secondary mode"]}`,
	473: `{"errors":["performance standby"]}`,
	500: `{"errors":["local node not active but active cluster node not found"]}`,
	502: `{"errors":["bad gateway"]}`,
	503: `{"errors":["Vault is sealed"]}`,
	504: `{"errors":["gateway timeout"]}`,
}

func (n *nodeAt) serve(t *testing.T, address string, to string) {
	t.Helper()
	target, err := url.Parse(to)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	listener, err := net.Listen("tcp", address)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		if status := int(n.status.Load()); status != 0 {
			w.Header().Set("Location", "http://192.0.2.1:8200"+r.URL.Path) // of a leader that was lost
			w.WriteHeader(status)
			_, _ = w.Write([]byte(refusals[status]))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
}

// named is three nodes of one name.
type named struct {
	*fixture
	nodes [3]nodeAt
}

func newNamed(t *testing.T) *named {
	t.Helper()
	n := &named{fixture: newFixture(t).withTenant(t, map[string]any{"v": "1"})}
	port := strings.TrimPrefix(n.proxy.URL, "http://127.0.0.1:")
	for i := range n.nodes {
		n.nodes[i].serve(t, fmt.Sprintf("127.0.0.%d:%s", 2+i, port), n.server.Addr)
	}
	n.config.Address = "http://vault.test:" + port
	n.config.Resolver = nameServer(t, [4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 3}, [4]byte{127, 0, 0, 4})
	return n
}

func (n *named) answer(status int) {
	for i := range n.nodes {
		n.nodes[i].status.Store(int64(status))
	}
}

// read returns how many requests it took.
func (n *named) read(t *testing.T, c *vault.Client) (requests int64, err error) {
	t.Helper()
	count := func() int64 { return n.nodes[0].asked.Load() + n.nodes[1].asked.Load() + n.nodes[2].asked.Load() }
	before := count()
	_, err = c.Read(t.Context(), tenant)
	return count() - before, err
}

func TestEachAddressIsAskedOnceInARound(t *testing.T) {
	n := newNamed(t)
	for status := range refusals {
		n.answer(0)
		c := n.open(t, n.rootAuth()) // it does not know yet how many there are
		for round := range 2 * len(n.nodes) {
			n.answer(status)
			n.nodes[round%len(n.nodes)].status.Store(0) // another one serves each time

			requests, err := n.read(t, c)

			if err != nil || requests > 3 {
				t.Errorf("%d, round %d: %d requests to 3 nodes, %v", status, round, requests, err)
			}
		}
	}
}

// Waiting would not change what these nodes are.
func TestWhereNoNodeCanEverServeEachIsAskedOnce(t *testing.T) {
	n := newNamed(t)
	for _, status := range []int{472, 473} {
		n.answer(0)
		c := n.open(t, n.rootAuth())
		n.answer(status)

		requests, err := n.read(t, c)

		if !errors.Is(err, rotator.ErrUnavailable) || requests != 3 {
			t.Errorf("%d: %d requests to 3 nodes, %v", status, requests, err)
		}
	}
}

package natstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/cluster/natstest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// leader returns the server that leads the stream WORK, and waits while none does.
func leader(t *testing.T, c *natstest.Cluster, js jetstream.JetStream) *natstest.Server {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		stream, err := js.Stream(t.Context(), "WORK")
		if err != nil {
			continue
		}
		if s := c.Server(stream.CachedInfo().Cluster.Leader); s != nil {
			return s
		}
	}
	t.Fatal("the stream has no leader")
	return nil
}

// publishOnce publishes to the stream WORK, once.
func publishOnce(t *testing.T, js jetstream.JetStream) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := js.Publish(ctx, "work.one", nil)
	return err
}

// publishSoon tries again while the stream has no leader: an election takes 4 to 9
// seconds.
func publishSoon(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = publishOnce(t, js); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func TestReplicatedStreamSurvivesItsLeader(t *testing.T) {
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{})
	client, _ := connect(t, c.URL())
	js := withMessage(t, client, 3)
	first := leader(t, c, js)

	first.Kill()
	publishSoon(t, js)

	if second := leader(t, c, js); second == first {
		t.Errorf("%s still leads", first.Name)
	}
	if got, err := firstMessage(t, js); err != nil || got != "message" {
		t.Errorf("after the loss of one: %q, %v", got, err)
	}
}

func TestReplicatedStreamNeedsAMajority(t *testing.T) {
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{})
	last := c.Servers[2]
	client, _ := connect(t, last.URL)
	js := withMessage(t, client, 3)

	c.Servers[0].Kill()
	c.Servers[1].Kill()

	if err := publishOnce(t, js); err == nil {
		t.Fatal("one of three servers took a message")
	}
	for _, s := range c.Servers[:2] {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	publishSoon(t, js)
}

func TestEmptiedServerGetsItsReplicaBack(t *testing.T) {
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{})
	client, _ := connect(t, c.URL())
	js := withMessage(t, client, 3)

	leads := leader(t, c, js)
	followers := slices.DeleteFunc(slices.Clone(c.Servers), func(s *natstest.Server) bool { return s == leads })

	if err := followers[0].Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}

	followers[0].Stop()
	store, err := followers[0].StoreBytes()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(store, []byte("message")) {
		t.Error("the emptied server has no replica")
	}
	if err := followers[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	followers[1].Kill()
	publishSoon(t, js) // the emptied server makes the majority
}

// TestFailedClusterLeavesNoProcess starts a program that claims to serve. The second one
// finds its port taken once, so that all three start anew; then none is healthy.
func TestFailedClusterLeavesNoProcess(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "nats-server")
	text := `#!/bin/sh
cd ` + dir + `
echo $$ >>pids
case $2 in */n2/*) [ -e clashed ] || { touch clashed; echo address already in use; exit 1; } ;; esac
echo Server is ready
echo Listening for route connections
exec sleep 60
`
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	_, err := natstest.StartCluster(ctx, natstest.Options{Binary: script, Dir: dir})

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	pids, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	started := strings.Fields(string(pids))
	if len(started) != 5 {
		t.Errorf("%d processes were started, want two and then three", len(started))
	}
	for _, pid := range started {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s is left", pid)
		}
	}
}

func TestMemberWaitsForItsRoute(t *testing.T) {
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{})
	member := c.Servers[0]
	route := routeOf(t, member)

	member.Kill()
	holdPort(t, route)
	if err := member.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// routeOf asks a server where the others reach it.
func routeOf(t *testing.T, s *natstest.Server) string {
	t.Helper()
	answer, err := http.Get(s.Monitor + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var values struct {
		Cluster struct {
			Port int `json:"cluster_port"`
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&values); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", values.Cluster.Port)
}

func TestClientsLearnNoOtherServers(t *testing.T) {
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{})
	link, url := c.Servers[0].Link(t)
	client, lost := connect(t, url, nats.PingInterval(50*time.Millisecond), nats.Timeout(2*time.Second))

	link.Cut()
	<-lost

	if err := client.FlushTimeout(500 * time.Millisecond); err == nil {
		t.Errorf("it reached %s", client.ConnectedUrl())
	}
	if got := client.DiscoveredServers(); len(got) > 0 {
		t.Errorf("it learned %v", got)
	}
}

func TestClusterServesTLSToUsers(t *testing.T) {
	public, known := nkey(t)
	t.Parallel() // most of it waits for elections
	c := natstest.RunCluster(t, natstest.Options{TLS: true, Users: []natstest.User{{Nkey: public}}})
	for _, s := range c.Servers {
		cert, err := clientCert(s, "worker")
		if err != nil {
			t.Fatal(err)
		}

		connect(t, s.URL, nats.RootCAs(s.CACert), cert, known)

		client, err := nats.Connect(s.URL, nats.RootCAs(s.CACert), cert)
		if !errors.Is(err, nats.ErrAuthorization) {
			client.Close()
			t.Errorf("%s, without a key: got %v, want %v", s.Name, err, nats.ErrAuthorization)
		}
	}
}

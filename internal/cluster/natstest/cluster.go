package natstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cluster is three servers, for streams with three replicas.
type Cluster struct {
	Servers []*Server // n1, n2, n3; clients of one learn nothing of the others
}

// StartCluster runs three servers that have found each other, see Start.
func StartCluster(ctx context.Context, o Options) (*Cluster, error) {
	servers, err := prepare(ctx, o, "n1", "n2", "n3")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := launch(ctx, servers); err != nil {
		return nil, err
	}
	c := &Cluster{Servers: servers}
	err = c.Await(ctx)
	if err == nil && !o.TLS && len(o.Users) == 0 { // else this may not connect
		err = c.awaitPlacement(ctx)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// awaitPlacement waits until a stream can have three replicas: the leader places none on
// a server that has not sent it its statistics, and no health tells.
func (c *Cluster) awaitPlacement(ctx context.Context) error {
	client, err := nats.Connect(c.URL())
	if err != nil {
		return fmt.Errorf("connect to nats-server: %w", err)
	}
	defer client.Close()
	js, err := jetstream.New(client)
	if err != nil {
		return err
	}
	config := jetstream.StreamConfig{Name: "PLACEMENT", Storage: jetstream.MemoryStorage, Replicas: len(c.Servers)}
	for {
		_, err := js.CreateStream(ctx, config)
		if err == nil {
			return js.DeleteStream(ctx, config.Name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until nats-server places a stream: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// RunCluster starts a cluster for one test and stops it at the end of the test, see Run.
func RunCluster(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := StartCluster(t.Context(), o)
	if err != nil {
		t.Fatalf("start three nats-servers: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// URL is for clients that may use every server.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.Servers {
		urls = append(urls, s.URL)
	}
	return strings.Join(urls, ",")
}

// Server returns the server of this name, such as the leader of a stream, or nil.
func (c *Cluster) Server(name string) *Server {
	for _, s := range c.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Await waits until every server follows the leader of JetStream and its replicas of all
// streams and consumers are current.
func (c *Cluster) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, s := range c.Servers {
		for {
			err := s.health(ctx)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for nats-server %s: %w", s.Name, errors.Join(ctx.Err(), err))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// Stop ends all servers.
func (c *Cluster) Stop() {
	for _, s := range c.Servers {
		s.Stop()
	}
}

// health returns why the server calls itself or its replicas unhealthy, nil if healthy.
func (s *Server) health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Monitor+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body) // error: what came of it
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}

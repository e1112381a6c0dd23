package natstest_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/internal/cluster/natstest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connect returns a client that reports each lost connection, and reconnects.
func connect(t *testing.T, url string, options ...nats.Option) (client *nats.Conn, lost <-chan error) {
	t.Helper()
	losses := make(chan error, 16)
	options = append([]nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(10 * time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { losses <- err }),
	}, options...)
	client, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, losses
}

// withMessage creates the stream WORK, with one message.
func withMessage(t *testing.T, client *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(client)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}, Replicas: replicas}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "work.one", []byte("message")); err != nil {
		t.Fatal(err)
	}
	return js
}

// firstMessage reads it from the stream WORK, and waits for a connection.
func firstMessage(t *testing.T, js jetstream.JetStream) (string, error) {
	t.Helper()
	if err := js.Conn().FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "WORK")
	if err != nil {
		return "", err
	}
	message, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		return "", err
	}
	return string(message.Data), nil
}

func TestStreamSurvivesTheEndOfItsServer(t *testing.T) {
	for name, end := range map[string]func(*natstest.Server){
		"stop": (*natstest.Server).Stop,
		"kill": (*natstest.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Run(t, natstest.Options{})
			client, lost := connect(t, s.URL)
			js := withMessage(t, client, 1)

			end(s)
			<-lost
			if err := client.FlushTimeout(100 * time.Millisecond); err == nil {
				t.Error("the server still answers")
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}

			if got, err := firstMessage(t, js); err != nil || got != "message" {
				t.Fatalf("after the restart: %q, %v", got, err)
			}
		})
	}
}

func TestRestartEndsTheOldProcess(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	_, lost := connect(t, s.URL)

	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	<-lost
}

func TestRestartWaitsForItsPorts(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	for name, addr := range map[string]string{"clients": s.Addr, "monitoring": strings.TrimPrefix(s.Monitor, "http://")} {
		t.Run(name, func(t *testing.T) {
			s.Kill()
			holdPort(t, addr)

			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}

			connect(t, s.URL)
		})
	}
}

// holdPort listens there for a moment, as another process may.
func holdPort(t *testing.T, addr string) {
	t.Helper()
	other, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { other.Close() })
}

func TestEmptiedServerHasNoStream(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	client, lost := connect(t, s.URL)
	js := withMessage(t, client, 1)

	if err := s.Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-lost

	if _, err := firstMessage(t, js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("got %v, want %v", err, jetstream.ErrStreamNotFound)
	}
}

func TestPausedServerAnswersOnlyAfterContinue(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	client, lost := connect(t, s.URL)

	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	err := client.FlushTimeout(100 * time.Millisecond)
	if !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("while paused: got %v, want %v", err, nats.ErrTimeout)
	}
	if err := s.Continue(); err != nil {
		t.Fatal(err)
	}

	if err := client.FlushTimeout(10 * time.Second); err != nil {
		t.Errorf("after it continued: %v", err)
	}
	if len(lost) > 0 {
		t.Error("the connection was lost")
	}
}

func TestPausedServerStopsInOrder(t *testing.T) {
	var log buffer
	s := natstest.Run(t, natstest.Options{Log: &log})
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}

	s.Stop()

	if !strings.Contains(log.String(), "Server Exiting") {
		t.Errorf("it was killed; it printed:\n%s", log.String())
	}
}

func TestStoreBytesHasMessagesAndNames(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	client, _ := connect(t, s.URL)
	js := withMessage(t, client, 1)
	if _, err := js.Publish(t.Context(), "work.two", []byte("Needle in the store")); err != nil {
		t.Fatal(err)
	}

	all, err := s.StoreBytes()
	if err != nil {
		t.Fatal(err)
	}

	for _, text := range []string{"Needle in the store", "work.two", "WORK"} {
		if !bytes.Contains(all, []byte(text)) {
			t.Errorf("%q is not there", text)
		}
	}
}

func TestLinkPartitionsAClient(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	link, url := s.Link(t)
	near, _ := connect(t, s.URL)
	far, lost := connect(t, url, nats.PingInterval(50*time.Millisecond), nats.Timeout(2*time.Second))

	link.Cut()
	if err := <-lost; !errors.Is(err, nats.ErrStaleConnection) {
		t.Errorf("got %v, want %v", err, nats.ErrStaleConnection)
	}
	if err := far.FlushTimeout(300 * time.Millisecond); err == nil {
		t.Error("the client beyond the link reaches the server")
	}
	if err := near.FlushTimeout(10 * time.Second); err != nil {
		t.Errorf("another client: %v", err)
	}
	link.Heal()

	if err := far.FlushTimeout(10 * time.Second); err != nil {
		t.Errorf("after the partition: %v", err)
	}
}

func TestConfigIsAdded(t *testing.T) {
	s := natstest.Run(t, natstest.Options{Config: "max_payload: 2048"})

	client, _ := connect(t, s.URL)

	if got := client.MaxPayload(); got != 2048 {
		t.Errorf("got a payload of %d bytes, want 2048", got)
	}
}

func TestStartWithoutADirectoryIsRefused(t *testing.T) {
	_, err := natstest.Start(t.Context(), natstest.Options{})

	if err == nil || !strings.Contains(err.Error(), "Options.Dir") {
		t.Fatalf("got %v, want the option that is missing", err)
	}
}

func TestBrokenBinaryIsExplained(t *testing.T) {
	script := filepath.Join(t.TempDir(), "nats-server")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no such luck\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}

	_, err := natstest.Start(t.Context(), natstest.Options{Binary: script, Dir: t.TempDir()})

	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Fatalf("got %v, want what the program printed", err)
	}
}

// buffer is a bytes.Buffer that the server can write while the test reads.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

package natstest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
func withMessage(t *testing.T, client *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(client)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}, Storage: jetstream.FileStorage}
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
			js := withMessage(t, client)

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

func TestEmptiedServerHasNoStream(t *testing.T) {
	s := natstest.Run(t, natstest.Options{})
	client, lost := connect(t, s.URL)
	js := withMessage(t, client)

	if err := s.Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-lost

	if _, err := firstMessage(t, js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("got %v, want %v", err, jetstream.ErrStreamNotFound)
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

// TestMain also acts as a parent that is killed: see TestServerDiesWithItsParent.
func TestMain(m *testing.M) {
	dir := os.Getenv("NATSTEST_PARENT")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := natstest.Start(context.Background(), natstest.Options{Dir: dir})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(s.URL + "\n")
	select {}
}

func TestServerDiesWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "NATSTEST_PARENT="+t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	_, lost := connect(t, strings.TrimSpace(string(line[:n])))

	_ = parent.Process.Kill()
	_ = parent.Wait() // it was killed

	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Fatal("the server outlived its parent")
	}
}

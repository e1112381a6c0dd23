// Package hooks has programs for the hooks of docs/hooks.md. The test runs each of them
// with what the daemon gives a hook: the document and PATH.
package hooks

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	failure = `{"version":1,"hook":"on_failure","event":"tenant done","time":"2026-11-23T03:00:02.125Z",` +
		`"tenant":"0f8fad5b-d9cb-469f-a165-70867728950e","user":"admin@one.example\r\nBcc: x@evil.example","origin":"https://mail.example.com",` +
		`"outcome":"failed","error":"push: <refused> & gone"}`
	rotated = `{"version":1,"hook":"after_rotation","event":"tenant done","time":"2026-11-23T03:00:02.125Z",` +
		`"tenant":"0f8fad5b-d9cb-469f-a165-70867728950e","user":"admin@one.example","origin":"https://mail.example.com",` +
		`"rotation":"3f9c2a71","outcome":"rotated","password":"of a later version"}`
	run = `{"version":1,"hook":"after_run","event":"sweep finished","time":"2026-11-23T03:00:04.000Z",` +
		`"run":{"task":"sweep","planned":2,"counts":{"failed":1,"rotated":1},"failures":1,"dropped":0}}`
)

func TestSlackGetsOneEscapedText(t *testing.T) {
	for document, want := range map[string]string{
		failure: `{"text":"*mailu-rotator*: tenant done, failed, admin@one.example\r\nBcc: x@evil.example, https://mail.example.com\npush: &lt;refused&gt; &amp; gone"}`,
		run:     `{"text":"*mailu-rotator*: sweep finished\n{\"failed\":1,\"rotated\":1}"}`,
	} {
		body, header := posted(t, "slack", document)
		if body != want+"\n" || header.Get("Content-Type") != "application/json" {
			t.Errorf("Slack got %s (%s), want %s", body, header.Get("Content-Type"), want)
		}
	}
}

func TestNtfyGetsTheReason(t *testing.T) {
	for document, want := range map[string]string{
		failure: "tenant done, failed, admin@one.example\r\nBcc: x@evil.example, https://mail.example.com\npush: <refused> & gone\n",
		run:     "sweep finished\n{\"failed\":1,\"rotated\":1}\n",
	} {
		body, header := posted(t, "ntfy", document)
		if body != want || header.Get("Title") != "mailu-rotator" {
			t.Errorf("ntfy got %q with title %q, want %q", body, header.Get("Title"), want)
		}
	}
}

// Whatever a later version may add to the document: who is told reads the rest from Vault.
func TestReadersAreToldTheTenantAlone(t *testing.T) {
	const want = `{"tenant":"0f8fad5b-d9cb-469f-a165-70867728950e","time":"2026-11-23T03:00:02.125Z"}` + "\n"

	body, header := posted(t, "readers", rotated)

	if body != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("a reader got %s (%s), want %s", body, header.Get("Content-Type"), want)
	}
}

func TestAProgramOnThisHostIsToldByItsSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "relay.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		told <- string(all)
	})}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()

	start(t, "readers", rotated, addressFile(t, fmt.Sprintf("url = \"http://localhost/\"\nunix-socket = %q\n", socket)))

	if body := <-told; !strings.Contains(body, "0f8fad5b-d9cb-469f-a165-70867728950e") {
		t.Errorf("the program got %s", body)
	}
}

// A user's name cannot add a header.
func TestMailHasOneSubjectAndEveryField(t *testing.T) {
	relay, received := smtp(t)

	start(t, "mail", failure, "smtp://"+relay, "ops@example.com")

	head, body, found := strings.Cut(<-received, "\r\n\r\n")
	if !found || !strings.Contains(head, "\r\nSubject: mailu-rotator: tenant done, failed, admin@one.example Bcc: x@evil.example\r\n") ||
		strings.Contains(head, "\r\nBcc:") {
		t.Errorf("the header is %q", head)
	}
	if !strings.Contains(body, "error: push: <refused> & gone\r\n") || !strings.Contains(body, "origin: https://mail.example.com\r\n") {
		t.Errorf("the body is %q", body)
	}
}

func TestARefusedMessageIsAFailedHook(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, hook := range []string{"slack", "ntfy", "readers"} {
		if err := command(t, hook, failure, address(t, server.URL)).Run(); err == nil {
			t.Errorf("%s is satisfied", hook)
		}
	}
}

// posted runs a hook and returns what it posts.
func posted(t *testing.T, hook, document string) (body string, header http.Header) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		all, _ := io.ReadAll(r.Body)
		body, header = string(all), r.Header
	}))
	defer server.Close()
	start(t, hook, document, address(t, server.URL))
	return body, header
}

func address(t *testing.T, url string) (file string) {
	t.Helper()
	return addressFile(t, fmt.Sprintf("url = %q\n", url))
}

func addressFile(t *testing.T, content string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "address.curl")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func start(t *testing.T, hook, document string, args ...string) {
	t.Helper()
	if output, err := command(t, hook, document, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", hook, err, output)
	}
}

func command(t *testing.T, hook, document string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./"+hook, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MAILU_ROTATOR_HOOK=on_failure"}
	cmd.Stdin = strings.NewReader(document)
	return cmd
}

// smtp is a relay that takes one message.
func smtp(t *testing.T) (address string, received <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	messages := make(chan string, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		var message bytes.Buffer
		inData := false
		fmt.Fprint(connection, "220 relay\r\n")
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			switch line := lines.Text(); {
			case inData && line == ".":
				inData = false
				messages <- message.String()
				fmt.Fprint(connection, "250 taken\r\n")
			case inData:
				message.WriteString(strings.TrimSuffix(line, "\r") + "\r\n")
			case line == "DATA":
				inData = true
				fmt.Fprint(connection, "354 go on\r\n")
			case line == "QUIT":
				fmt.Fprint(connection, "221 bye\r\n")
				return
			default:
				fmt.Fprint(connection, "250 ok\r\n")
			}
		}
	}()
	return listener.Addr().String(), messages
}

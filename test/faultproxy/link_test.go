package faultproxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/test/faultproxy"
)

// linked starts a link to a server that hands over the connections that reach it.
func linked(t *testing.T) (link *faultproxy.Link, arrivals <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	link, err = faultproxy.NewLink(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	accepted := make(chan net.Conn, 4)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	return link, accepted
}

// dial connects through the link.
func dial(t *testing.T, link *faultproxy.Link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", link.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// pair connects through the link and returns both ends.
func pair(t *testing.T, link *faultproxy.Link, arrivals <-chan net.Conn) (client, server net.Conn) {
	t.Helper()
	client = dial(t, link)
	server = <-arrivals
	t.Cleanup(func() { server.Close() })
	return client, server
}

func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear reads one line, and waits this long for it.
func hear(conn net.Conn, patience time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return line, err
}

func wantHeard(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if got, err := hear(conn, 10*time.Second); err != nil || got != line+"\n" {
		t.Fatalf("got %q, %v; want %q", got, err, line)
	}
}

func wantSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	if got, err := hear(conn, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v; want silence", got, err)
	}
}

func TestLinkPassesBothWays(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	say(t, client, "request")
	wantHeard(t, server, "request")
	say(t, server, "answer")
	wantHeard(t, client, "answer")
}

func TestWatchedLinkDropsWhatItsWatcherRefuses(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)
	link.Watch(func(sent []byte) bool { return string(sent) != "refused\n" })

	say(t, client, "request")
	wantHeard(t, server, "request")
	say(t, client, "refused")

	for name, conn := range map[string]net.Conn{"client": client, "server": server} {
		if got, err := hear(conn, 10*time.Second); got != "" || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s's end: got %q, %v; want it closed", name, got, err)
		}
	}
}

func TestCutLinkHoldsBytesUntilItHeals(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	link.Cut()
	say(t, client, "request")
	say(t, server, "answer")
	wantSilence(t, server)
	wantSilence(t, client)
	link.Heal()

	wantHeard(t, server, "request")
	wantHeard(t, client, "answer")
}

func TestLinkCutTwiceHealsAtOnce(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	link.Cut()
	say(t, client, "request")
	wantSilence(t, server)
	link.Cut()
	link.Heal()

	wantHeard(t, server, "request")
}

func TestCutAnswersLetsRequestsPass(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	link.CutAnswers()
	say(t, client, "request")
	wantHeard(t, server, "request")
	say(t, server, "answer")
	wantSilence(t, client)
	link.Heal()

	wantHeard(t, client, "answer")
}

func TestCutLinkHoldsNewConnections(t *testing.T) {
	link, arrivals := linked(t)

	link.Cut()
	client := dial(t, link)
	say(t, client, "request")
	select {
	case <-arrivals:
		t.Fatal("a connection passed")
	case <-time.After(50 * time.Millisecond):
	}
	link.Heal()

	server := <-arrivals
	defer server.Close()
	wantHeard(t, server, "request")
}

func TestCutLinkHoldsTheEndOfAConnection(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	link.Cut()
	server.Close()
	wantSilence(t, client)
	link.Heal()

	if _, err := hear(client, 10*time.Second); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want %v", err, io.EOF)
	}
}

func TestLinkHandsOnHowAConnectionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*net.TCPConn) error
		want error
	}{
		"close": {(*net.TCPConn).Close, io.EOF},
		"half":  {(*net.TCPConn).CloseWrite, io.EOF},
		"reset": {func(conn *net.TCPConn) error { return errors.Join(conn.SetLinger(0), conn.Close()) }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			link, arrivals := linked(t)
			client, server := pair(t, link, arrivals)

			if err := c.end(server.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}

			if _, err := hear(client, 10*time.Second); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestHalfClosedConnectionStillCarriesAnswers(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)

	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := hear(server, 10*time.Second); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want %v", err, io.EOF)
	}
	say(t, server, "answer")

	wantHeard(t, client, "answer")
}

func TestDeadServerIsDeadThroughTheLink(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	link, err := faultproxy.NewLink(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	listener.Close()

	client, err := net.Dial("tcp", link.Addr) // it may see the reset already
	if err == nil {
		defer client.Close()
		_, err = hear(client, 10*time.Second)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want %v", err, syscall.ECONNRESET)
	}
}

func TestClosedLinkDropsWhatWaits(t *testing.T) {
	link, arrivals := linked(t)
	client, server := pair(t, link, arrivals)
	link.Cut()
	say(t, client, "request")

	link.Close()

	if line, err := hear(server, 10*time.Second); err == nil {
		t.Errorf("the server got %q", line)
	}
	if _, err := net.Dial("tcp", link.Addr); err == nil {
		t.Error("the link still accepts connections")
	}
}

// stranger is another process with a connection through the link: it sends each line that
// it is given.
func stranger(t *testing.T, link *faultproxy.Link) (pid int, send io.Writer) {
	t.Helper()
	host, port, err := net.SplitHostPort(link.Addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `exec 3<>"/dev/tcp/$0/$1"; while read -r line; do echo "$line" >&3; done`, host, port)
	send, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid, send
}

func TestLinkIsCutFromOneProcess(t *testing.T) {
	link, arrivals := linked(t)
	pid, send := stranger(t, link)
	theirs := <-arrivals
	t.Cleanup(func() { theirs.Close() })
	ours, server := pair(t, link, arrivals)

	if err := link.CutFrom(pid); err != nil {
		t.Fatal(err)
	}

	_, _ = io.WriteString(send, "held\n")
	wantSilence(t, theirs)
	say(t, ours, "passes")
	wantHeard(t, server, "passes")
	link.Heal()
	wantHeard(t, theirs, "held")
}

func TestLinkHoldsNewConnectionsOfACutProcess(t *testing.T) {
	link, arrivals := linked(t)

	if err := link.CutFrom(os.Getpid()); err != nil {
		t.Fatal(err)
	}

	client := dial(t, link)
	say(t, client, "later")
	select {
	case <-arrivals:
		t.Fatal("the connection reached the server")
	case <-time.After(100 * time.Millisecond):
	}
	link.Heal()
	server := <-arrivals
	t.Cleanup(func() { server.Close() })
	wantHeard(t, server, "later")
}

package mailutest

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"
)

func (s *Server) perform(w http.ResponseWriter, c call, f Fault) {
	switch f.Kind {
	case Status:
		s.send(w, c, f.plain())
	case StatusAfter:
		s.handle(c)
		s.send(w, c, f.plain())
	case Delay:
		s.wait(f.Delay)
		s.send(w, c, s.handle(c))
	case DelayAfter:
		a := s.handle(c)
		s.wait(f.Delay)
		s.send(w, c, a)
	case ResetBefore:
		reset(w)
	case ResetAfter:
		s.handle(c)
		reset(w)
	case HangBefore:
		s.hang(c)
	case HangAfter:
		s.handle(c)
		s.hang(c)
	case LateEffect:
		s.handleLate(c, f.Delay)
		s.failNow(w, c, f)
	case HTMLPage:
		s.send(w, c, f.dress(nginxPage(f.status(http.StatusBadGateway))))
	case Lie:
		s.lie(w, c)
	case Redirect:
		s.send(w, c, f.redirect(c.request))
	case HugeBody:
		s.handle(c)
		s.sendHuge(w, c, f.Size)
	case EndlessBody:
		s.handle(c)
		s.drip(w, c, f.Delay)
	case GarbageJSON:
		s.handle(c)
		garbage := newAnswer(f.status(http.StatusOK), "application/json", []byte(`{"code": 200, "mess`))
		s.send(w, c, f.dress(garbage))
	}
}

// plain is JSON in the admin's form: of a refused token, of a method that refuses, of an exception. HTMLPage is for
// answers of other servers.
func (f Fault) plain() answer {
	status := f.status(http.StatusInternalServerError)
	switch status {
	case http.StatusUnauthorized:
		return f.dress(noHeader())
	case http.StatusForbidden:
		return f.dress(wrongToken())
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict:
		return f.dress(verdict(status, http.StatusText(status)))
	}
	return f.dress(message(status, http.StatusText(status)))
}

func (f Fault) redirect(r *http.Request) answer {
	a := nginxPage(f.status(http.StatusFound))
	a.header.Set("Location", "http://elsewhere.example"+r.URL.Path)
	if f.Location != "" {
		a.header.Set("Location", f.Location)
	}
	return f.dress(a)
}

// wait ends early when the server closes. A client that leaves does not shorten it: Mailu would not notice either.
func (s *Server) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.closing:
	}
}

func (s *Server) hang(c call) {
	select {
	case <-c.request.Context().Done():
	case <-s.closing:
	}
	// A normal return would send an empty 200.
	panic(http.ErrAbortHandler)
}

// handleLate is a request that a proxy gave up on while it was still in the admin's queue.
func (s *Server) handleLate(c call, delay time.Duration) {
	s.addLate(1)
	go func() {
		defer s.addLate(-1)
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			s.handle(c)
		case <-s.closing:
		}
	}()
}

func (s *Server) addLate(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late += n
	s.lateEnded.Broadcast()
}

func (s *Server) failNow(w http.ResponseWriter, c call, f Fault) {
	if f.Status == 0 {
		reset(w)
		return
	}
	s.send(w, c, f.plain())
}

func (s *Server) lie(w http.ResponseWriter, c call) {
	switch c.request.Method {
	case http.MethodPatch:
		s.send(w, c, updated(strings.TrimPrefix(c.request.URL.Path, userPath+"/")))
	case http.MethodPost:
		s.send(w, c, verdict(http.StatusOK, "User has been created"))
	default:
		s.send(w, c, s.handle(c))
	}
}

func (s *Server) sendHuge(w http.ResponseWriter, c call, size int) {
	if size == 0 {
		size = 64 << 20
	}
	const head, tail = `{"code":200,"message":"`, `"}`
	filler := bytes.Repeat([]byte("x"), 64<<10)
	s.send(w, c, newAnswer(http.StatusOK, "application/json", []byte(head)))
	for left := size - len(head) - len(tail); left > 0; left -= len(filler) {
		if _, err := w.Write(filler[:min(left, len(filler))]); err != nil {
			return
		}
	}
	_, _ = w.Write([]byte(tail))
}

func (s *Server) drip(w http.ResponseWriter, c call, pause time.Duration) {
	if pause == 0 {
		pause = 10 * time.Millisecond
	}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	drop := bytes.Repeat([]byte(" "), 1<<10)
	s.send(w, c, newAnswer(http.StatusOK, "application/json", []byte("{")))
	for {
		select {
		case <-ticker.C:
		case <-s.closing:
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(drop); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

// reset ends the connection with RST if possible: no lingering, so that the client sees a reset and not an end.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := connection
	if encrypted, ok := connection.(*tls.Conn); ok {
		raw = encrypted.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		// On an error the client sees an end of file, which is also a failure.
		_ = tcp.SetLinger(0)
	}
	// raw and not connection: TLS would send a close alert, which is an answer.
	_ = raw.Close()
}

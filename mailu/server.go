package mailu

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Server is one Mailu server within one run; it implements [rotator.Server].
// Every error of its methods names the server, the user, the cause and what to
// do next, and holds the errors of package rotator that apply.
type Server struct {
	*endpoint
	latch *latch
}

// MaxConcurrent is how many requests this server is sent at a time, at least 1:
// what its entry says, or the least that an entry with the same API host says.
func (s *Server) MaxConcurrent() int { return s.gate.size }

// latch closes once and stays closed. The zero latch is open.
type latch struct {
	reason atomic.Pointer[string]
}

func (l *latch) close(reason string) { l.reason.CompareAndSwap(nil, &reason) }

func (l *latch) closed() (reason string, closed bool) {
	if r := l.reason.Load(); r != nil {
		return *r, true
	}
	return "", false
}

// attempt sends one request, once, when it is its turn. The turn ends with the
// attempt, so that nobody waits for somebody else's back-off. The latch closes
// before the turn ends and is looked at after it began: whoever queued behind a
// refused token is not sent.
func (s *Server) attempt(req *http.Request, words wording) verdict {
	if reason, closed := s.latch.closed(); closed {
		return latched(reason)
	}
	if err := s.gate.Acquire(req.Context(), 1); err != nil {
		return neverItsTurn(err, s.gate.size)
	}
	defer s.gate.Release(1)
	if reason, closed := s.latch.closed(); closed {
		return latched(reason)
	}

	v := s.exchange(req, words)
	if v.is(rotator.ErrServerUnusable) {
		s.latch.close(v.cause)
	}
	return v
}

// exchange adds the token and takes the answer whole, both within the time of
// one request.
func (s *Server) exchange(req *http.Request, words wording) verdict {
	if s.token.Empty() {
		return verdict{cause: "the token was wiped from memory", next: "start another run"}
	}
	parent := req.Context()
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	req = req.Clone(ctx)
	req.Header.Set("Authorization", bearer(s.token))

	begun := time.Now()
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		s.told(s.origin, req.Method, 0, time.Since(begun))
		return s.broken(parent, ctx, err, words)
	}
	a := readAnswer(resp)
	s.told(s.origin, req.Method, a.status, time.Since(begun))
	if a.status == http.StatusOK && a.err != nil {
		return s.broken(parent, ctx, fmt.Errorf("the answer broke off: %w", a.err), words)
	}
	v := judge(a, words)
	v.status, v.tls = a.code(), resp.TLS
	return v
}

// bearer leaves no copy of the token but the header: one that a string is put
// together from can stay on the stack of a goroutine that has ended.
func bearer(token crypto.Secret) string {
	header := append([]byte("Bearer "), token.Reveal()...)
	defer clear(header)
	return string(header)
}

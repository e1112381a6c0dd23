package mailu

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"mailu-rotator/crypto"
)

// Server is one Mailu server within one run; it implements [rotator.Server]. Every
// error of its methods names the server, the user, the cause and the next action, and
// wraps the errors of package rotator that apply.
type Server struct {
	*endpoint
	latch    *latch
	accounts accounts
}

// MaxConcurrent is the number of concurrent requests for this server, at least 1: its
// entry's value, or the lowest of all entries with the same API host.
func (s *Server) MaxConcurrent() int { return s.gate.size }

// attempt sends one request, once, when it is its turn. The turn ends with the attempt,
// so that no call waits for another's back-off. What the answer shows about the
// host is recorded before the turn ends and read after the next one began: a request
// queued behind a refused token is not sent.
func (s *Server) attempt(req *http.Request, words wording) verdict {
	if reason, closed := s.latch.closed(s.endpoint); closed {
		return latched(reason)
	}
	endTrial, err := s.trial(req.Context())
	if err != nil {
		return neverItsTurn(err, 1)
	}
	defer endTrial()
	if err := s.gate.Acquire(req.Context(), 1); err != nil {
		return neverItsTurn(err, s.gate.size)
	}
	defer s.gate.Release(1)
	if reason, closed := s.latch.closed(s.endpoint); closed {
		return latched(reason)
	}
	return s.latch.note(s.endpoint, words.user, s.exchange(req, words))
}

// trial lets one request at a time through until this run has seen the token accepted,
// since Mailu blocks the sender's network after five wrong ones. Once the token is
// proven it lets all through.
func (s *Server) trial(ctx context.Context) (end func(), err error) {
	if s.latch.proven(s.endpoint) {
		return func() {}, nil
	}
	if err := s.gate.alone.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if s.latch.proven(s.endpoint) { // proven while this call waited
		s.gate.alone.Release(1)
		return func() {}, nil
	}
	return func() { s.gate.alone.Release(1) }, nil
}

// exchange adds the token and reads the whole answer, both within the time of one
// request.
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
	a.asked = req.URL
	s.told(s.origin, req.Method, a.status, time.Since(begun))
	if a.status == http.StatusOK && a.err != nil {
		return s.broken(parent, ctx, fmt.Errorf("the answer broke off: %w", a.err), words)
	}
	v := judge(a, words)
	v.status, v.tls = a.code(), resp.TLS
	return v
}

// bearer leaves no copy of the token except the header: a string that a concatenation
// was built from can stay on the stack of a finished goroutine.
func bearer(token crypto.Secret) string {
	header := append([]byte("Bearer "), token.Reveal()...)
	defer clear(header)
	return string(header)
}

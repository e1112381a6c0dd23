package mailu

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Server is one Mailu server within one run; it implements [rotator.Server]. Every
// error of its methods names the server, the user, the cause and the next action, and
// wraps the errors of package rotator that apply.
type Server struct {
	*endpoint
	state    *hostState
	accounts sync.Map // username -> account, as the latest answer to this value showed it
}

// MaxConcurrent is the number of concurrent requests for this server, at least 1: its
// entry's value, or the lowest of all entries with the same API host.
func (s *Server) MaxConcurrent() int { return s.limiter.size }

// PushSlot implements [rotator.Server]: of one API host, as many as its concurrent
// requests, over all entries and runs.
func (s *Server) PushSlot(ctx context.Context) (release func(), err error) {
	if err := s.limiter.pushes.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { s.limiter.pushes.Release(1) }, nil
}

// attempt sends one request, once, when it is its turn. The turn ends with the attempt,
// so that no call waits for another's back-off. What the answer shows about the
// host is recorded before the turn ends and read after the next one began: a request
// queued behind a refused token is not sent.
func (s *Server) attempt(req *http.Request, sanitizer sanitizer) verdict {
	if reason, closed := s.state.disabled(s.endpoint); closed {
		return disabled(reason)
	}
	endTrial, err := s.trial(req.Context())
	if err != nil {
		return queueTimeout(err, 1)
	}
	defer endTrial()
	if err := s.limiter.Acquire(req.Context(), 1); err != nil {
		return queueTimeout(err, s.limiter.size)
	}
	defer s.limiter.Release(1)
	if reason, closed := s.state.disabled(s.endpoint); closed {
		return disabled(reason)
	}
	return s.state.note(s.endpoint, sanitizer.user, s.exchange(req, sanitizer))
}

// trial lets one request at a time through until this run has seen the token accepted,
// since Mailu blocks the sender's network after five wrong ones.
func (s *Server) trial(ctx context.Context) (end func(), err error) {
	if !s.state.proven(s.endpoint) {
		if err := s.limiter.alone.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		if !s.state.proven(s.endpoint) {
			return func() { s.limiter.alone.Release(1) }, nil
		}
		s.limiter.alone.Release(1) // proven while this call waited
	}
	return func() {}, nil
}

// exchange adds the token and reads the whole answer, both within the time of one
// request.
func (s *Server) exchange(req *http.Request, sanitizer sanitizer) verdict {
	if s.config.Token.Empty() {
		return verdict{cause: "the token was wiped from memory", next: "start another run"}
	}
	parent := req.Context()
	ctx, cancel := context.WithTimeout(parent, s.config.Timeout)
	defer cancel()
	req = req.Clone(ctx)
	req.Header.Set("Authorization", bearer(s.config.Token))

	begun := time.Now()
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		s.options.OnRequest(s.config.Origin, req.Method, 0, time.Since(begun))
		return s.broken(parent, ctx, err, sanitizer)
	}
	a := readAnswer(resp)
	a.asked, a.tls = req.URL, resp.TLS
	s.options.OnRequest(s.config.Origin, req.Method, a.status, time.Since(begun))
	if a.status == http.StatusOK && a.err != nil {
		return s.broken(parent, ctx, fmt.Errorf("the answer broke off: %w", a.err), sanitizer)
	}
	return judge(a, sanitizer)
}

// bearer leaves no copy of the token except the header: a string that a concatenation
// was built from can stay on the stack of a finished goroutine.
func bearer(token crypto.Secret) string {
	header := append([]byte("Bearer "), token.Reveal()...)
	defer clear(header)
	return string(header)
}

const maxIntercepted = 3 // users in a row, after which the server counts as unusable

// hostState is what one run knows about an API host, whichever entries lead there. Once
// disabled it stays disabled: for all entries, or, if only one api_url was found to be
// wrong, for the entries with that one.
type hostState struct {
	mu          sync.Mutex        // guards the fields below
	reasons     map[string]string // why it is disabled, by api_url; "": for all
	accepted    []crypto.Secret   // tokens
	intercepted []string          // users in a row
}

// disabled reports why nothing more may be sent for the entry.
func (h *hostState) disabled(e *endpoint) (reason string, disabled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reason = cmp.Or(h.reasons[""], h.reasons[e.api])
	return reason, reason != ""
}

// proven reports whether the host has accepted the entry's token in this run, whichever
// entry it was sent for.
func (h *hostState) proven(e *endpoint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.accepted, e.config.Token.Equal)
}

// note records the answer to an entry's request about a user, and returns the verdict
// corrected by the answers to other requests.
func (h *hostState) note(e *endpoint, user string, v verdict) verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	proven := slices.ContainsFunc(h.accepted, e.config.Token.Equal)
	if v.proves {
		h.intercepted = nil
		if !proven {
			h.accepted = append(h.accepted, e.config.Token)
		}
	}
	if v.page && proven {
		v.intercepted() // another answer has shown that the API is on
	}
	if v.is(rotator.ErrIntercepted) && !slices.Contains(h.intercepted, user) {
		h.intercepted = append(h.intercepted, user)
	}
	if len(h.intercepted) >= maxIntercepted && v.is(rotator.ErrIntercepted) {
		v.kinds = append(v.kinds, rotator.ErrServerUnusable)
		v.next = "look for a firewall or proxy in front of Mailu that refuses the requests of this host, and see whether api_url is Mailu's API"
	}
	if !v.is(rotator.ErrServerUnusable) {
		return v
	}
	if h.reasons == nil {
		h.reasons = map[string]string{}
	}
	place := ""
	if v.misplaced {
		place = e.api
	}
	h.reasons[place] = cmp.Or(h.reasons[place], v.cause) // the first reason stays
	return v
}

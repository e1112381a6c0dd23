package mailutest

import (
	"net/http"
	"slices"
	"time"
)

// Request is what the server remembers of a request: never a body, never a header.
type Request struct {
	Time       time.Time
	Method     string
	Path       string // decoded
	Status     int    // 0 where no answer was sent, or none yet
	Authorised bool   // the right token was seen; false too where the request did not get as far
}

// Requests are all that have arrived so far, in order, those under way included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make([]Request, 0, len(s.requests))
	for _, r := range s.requests {
		seen = append(seen, *r)
	}
	return seen
}

// Count is how many requests with this method have arrived; "" counts all.
func (s *Server) Count(method string) int {
	seen := s.Requests()
	seen = slices.DeleteFunc(seen, func(r Request) bool { return method != "" && r.Method != method })
	return len(seen)
}

// MaxInFlight is the greatest number of requests that were under way at once, from arrival to the end of the answer,
// those waiting for a worker included: it measures the client, whatever Config.Workers.
func (s *Server) MaxInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxInFlight
}

// arrive books a request, or reports false once the server is closed.
func (s *Server) arrive(r *http.Request) (*Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	entry := &Request{Time: s.config.Now(), Method: r.Method, Path: r.URL.Path}
	s.requests = append(s.requests, entry)
	s.inFlight++
	s.maxInFlight = max(s.maxInFlight, s.inFlight)
	s.running.Add(1)
	return entry, true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.running.Done()
}

func (s *Server) authorised(entry *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Authorised = true
}

func (s *Server) answered(entry *Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Status = status
}

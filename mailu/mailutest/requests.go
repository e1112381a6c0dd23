package mailutest

import (
	"net/http"
	"slices"
	"time"
)

// Request is what the server records about a request: never a body, never a header.
type Request struct {
	Time       time.Time
	Method     string
	Path       string // decoded
	Status     int    // 0 if no answer was sent, or none yet
	Authorised bool   // the token was accepted; false too if the request ended before that check
}

// Requests returns all requests that have arrived so far, in order, including unfinished ones.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make([]Request, 0, len(s.requests))
	for _, r := range s.requests {
		seen = append(seen, *r)
	}
	return seen
}

// Count returns how many requests with this method have arrived; "" counts all.
func (s *Server) Count(method string) int {
	seen := s.Requests()
	seen = slices.DeleteFunc(seen, func(r Request) bool { return method != "" && r.Method != method })
	return len(seen)
}

// MaxInFlight is the greatest number of concurrent requests, from arrival to the end of the answer, including those
// waiting for a worker: it measures the client, whatever Config.Workers is.
func (s *Server) MaxInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxInFlight
}

// arrive records a request, or returns false after the server is closed.
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

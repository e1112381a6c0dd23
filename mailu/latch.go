package mailu

import (
	"slices"
	"sync"

	"mailu-rotator/rotator"
)

// maxIntercepted is how many users in a row may be answered by something in
// front of Mailu until it is the server that cannot be used, and not they.
const maxIntercepted = 3

// latch is what one run knows of an API host, whichever entries lead there. It
// closes once and stays closed. The zero latch is open, and knows no token to be
// right.
type latch struct {
	mu          sync.Mutex // guards what follows
	reason      string     // "": open
	accepted    []int      // credentials
	intercepted []string   // users in a row
}

// closed reports why nothing more may be sent.
func (l *latch) closed() (reason string, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason, l.reason != ""
}

// proven reports whether the host has accepted the credential in this run.
func (l *latch) proven(credential int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.accepted, credential)
}

// note learns from an answer to a request about a user, and returns the verdict
// as it is in the light of the others.
func (l *latch) note(credential int, user string, v verdict) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.proves {
		l.intercepted = nil
		if !slices.Contains(l.accepted, credential) {
			l.accepted = append(l.accepted, credential)
		}
	}
	if v.page && slices.Contains(l.accepted, credential) {
		v.intercepted() // the API is on
	}
	if v.is(rotator.ErrIntercepted) && !slices.Contains(l.intercepted, user) {
		l.intercepted = append(l.intercepted, user)
	}
	if len(l.intercepted) >= maxIntercepted && v.is(rotator.ErrIntercepted) {
		v.kinds = append(v.kinds, rotator.ErrServerUnusable)
		v.next = "look for a firewall or proxy in front of Mailu that refuses the requests of this host, and see whether api_url is Mailu's API"
	}
	if v.is(rotator.ErrServerUnusable) && l.reason == "" {
		l.reason = v.cause
	}
	return v
}

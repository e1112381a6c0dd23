package mailu

import (
	"cmp"
	"slices"
	"sync"

	"mailu-rotator/rotator"
)

// maxIntercepted is how many users in a row may get answers from a device in front of
// Mailu before the server counts as unusable.
const maxIntercepted = 3

// latch is what one run knows about an API host, whichever entries lead there. It
// closes once and stays closed: for all entries, or, if only one api_url was found to
// be wrong, for the entries with that one. The zero latch is open, and knows no valid
// token.
type latch struct {
	mu          sync.Mutex        // guards the fields below
	reason      string            // "": open
	misplaced   map[string]string // reasons by api_url
	accepted    []int             // credentials
	intercepted []string          // users in a row
}

// closed reports why nothing more may be sent for the entry.
func (l *latch) closed(e *endpoint) (reason string, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reason = cmp.Or(l.reason, l.misplaced[e.api])
	return reason, reason != ""
}

// proven reports whether the host has accepted the entry's token in this run.
func (l *latch) proven(e *endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.accepted, e.credential)
}

// note records the answer to an entry's request about a user, and returns the verdict
// corrected by the answers to other requests.
func (l *latch) note(e *endpoint, user string, v verdict) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.proves {
		l.intercepted = nil
		if !slices.Contains(l.accepted, e.credential) {
			l.accepted = append(l.accepted, e.credential)
		}
	}
	if v.page && slices.Contains(l.accepted, e.credential) {
		v.intercepted() // another answer has shown that the API is on
	}
	if v.is(rotator.ErrIntercepted) && !slices.Contains(l.intercepted, user) {
		l.intercepted = append(l.intercepted, user)
	}
	if len(l.intercepted) >= maxIntercepted && v.is(rotator.ErrIntercepted) {
		v.kinds = append(v.kinds, rotator.ErrServerUnusable)
		v.next = "look for a firewall or proxy in front of Mailu that refuses the requests of this host, and see whether api_url is Mailu's API"
	}
	if v.is(rotator.ErrServerUnusable) {
		l.close(e, v)
	}
	return v
}

// close keeps the first reason. The caller holds the lock.
func (l *latch) close(e *endpoint, v verdict) {
	switch {
	case !v.misplaced:
		l.reason = cmp.Or(l.reason, v.cause)
	case l.misplaced == nil:
		l.misplaced = map[string]string{e.api: v.cause}
	default:
		l.misplaced[e.api] = cmp.Or(l.misplaced[e.api], v.cause)
	}
}

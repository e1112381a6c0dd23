package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// maxServers is how many servers the page lists.
const maxServers = 50

// server is one Mailu server: its state in the last run, and its tenants.
type server struct {
	Origin  string
	Breaker status.Breaker // empty: the last run did not use it
	Since   moment
	Until   moment
	Reason  string
	Latency string // empty: unknown
	Tenants int
	Trouble int // tenants that are neither ok nor merely due
	Link    string
}

// servers lists all servers that the records or the last run name, those with problems
// first.
func servers(f fleet, latency func(rotator.Origin) (time.Duration, bool)) []server {
	byOrigin := map[rotator.Origin]*server{}
	at := func(origin rotator.Origin) *server {
		s := byOrigin[origin]
		if s == nil {
			s = &server{Origin: visible(string(origin), maxName), Link: onServer(origin).link()}
			byOrigin[origin] = s
		}
		return s
	}
	for _, r := range f.rows {
		if r.Origin == "" {
			continue // its record names no server
		}
		s := at(r.Origin)
		s.Tenants++
		if r.standing != rotator.StandingOK && r.standing != rotator.StandingDue {
			s.Trouble++
		}
	}
	for _, e := range f.Servers {
		s := at(e.Origin)
		s.Breaker, s.Since, s.Until = e.Breaker, f.moment(e.Since), f.moment(e.Until)
		s.Reason = visible(e.Reason, maxReason)
	}
	all := make([]server, 0, len(byOrigin))
	for origin, s := range byOrigin {
		if latency != nil {
			if d, known := latency(origin); known {
				s.Latency = milliseconds(d)
			}
		}
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b server) int {
		return cmp.Or(
			cmp.Compare(gravity(b.Breaker), gravity(a.Breaker)),
			cmp.Compare(b.Trouble, a.Trouble),
			strings.Compare(a.Origin, b.Origin),
		)
	})
	return all
}

// gravity is higher for servers that the run uses less.
func gravity(b status.Breaker) int { return max(slices.Index(status.Breakers(), b), 0) }

func milliseconds(d time.Duration) string {
	if d < 10*time.Second {
		return number(int(d.Round(time.Millisecond)/time.Millisecond)) + " ms"
	}
	return d.Round(time.Second).String()
}

package sweep

import (
	"sync"
	"sync/atomic"
	"time"

	"mailu-rotator/rotator"
)

const (
	runLogins          = 1 // of a run, at each server: the canary's, or that of the first tenant that succeeds
	verificationLogins = 5 // of a verification, at each server
)

// logins bounds the real logins of a run at each server, because Mailu counts refused
// logins. They go one at a time, and none follows one that failed.
type logins struct {
	limit int64
	among func(rotator.Credential) bool // nil: any tenant

	mu      sync.Mutex // guards the map
	servers map[rotator.Origin]*serverLogins
}

// serverLogins are the logins at one server.
type serverLogins struct {
	left   atomic.Int64
	alone  sync.Mutex // held during a login; guards failed
	failed bool
}

func newLogins(limit int64, among func(rotator.Credential) bool) *logins {
	return &logins{limit: limit, among: among, servers: map[rotator.Origin]*serverLogins{}}
}

// turn is a [rotator.LoginTurn]. Tenants that are not among those to log in wait for none.
func (l *logins) turn(c rotator.Credential) (end func(rotator.LoginState), given bool) {
	if l.among != nil && !l.among(c) {
		return nil, false
	}
	s := l.server(c.Origin)
	if s.left.Add(-1) < 0 {
		return nil, false
	}
	s.alone.Lock()
	if s.failed {
		s.alone.Unlock()
		return nil, false
	}
	return func(state rotator.LoginState) {
		s.failed = state.Problem()
		s.alone.Unlock()
	}, true
}

func (l *logins) server(origin rotator.Origin) *serverLogins {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.servers[origin]
	if s == nil {
		s = new(serverLogins)
		s.left.Store(l.limit)
		l.servers[origin] = s
	}
	return s
}

// sample chooses the tenants of a verification that log in: as many of each server as may,
// and every day the next ones.
func sample(now time.Time, candidates []rotator.Candidate) func(rotator.Credential) bool {
	place, count := map[rotator.TenantID]int{}, map[rotator.Origin]int{}
	for _, c := range candidates {
		place[c.Credential.Tenant] = count[c.Credential.Origin]
		count[c.Credential.Origin]++
	}
	first := int(now.Unix() / (24 * 60 * 60) * verificationLogins)
	return func(c rotator.Credential) bool {
		n := count[c.Origin]
		return n > 0 && (place[c.Tenant]-first%n+n)%n < verificationLogins
	}
}

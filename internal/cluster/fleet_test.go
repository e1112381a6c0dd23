package cluster_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/cluster/natstest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

const (
	serverA rotator.Origin = "https://mail-a.example"
	serverB rotator.Origin = "https://mail-b.example"

	ackWait = 2 * time.Second
)

// fleet is tenants on two Mailu servers in memory, and a real NATS server for those who
// rotate them. All tenants are due.
type fleet struct {
	t     *testing.T
	nats  *natstest.Server
	store *rotatortest.Store
	mailu *rotatortest.Mailu

	mu       sync.Mutex
	hook     rotatortest.Hook // of the test
	calls    []rotatortest.Call
	reported []error
	made     int // passwords
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, nats: natstest.Run(t, natstest.Options{})}
	f.store = &rotatortest.Store{Clock: rotator.SystemClock{}, Hook: f.around}
	f.mailu = &rotatortest.Mailu{Origins: []rotator.Origin{serverA, serverB}, Hook: f.around}
	return f
}

func tenant(n int) rotator.TenantID {
	return rotator.TenantID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

func userOf(n int) string { return fmt.Sprintf("admin@%d.example", n) }

// add puts n tenants on a server, with numbers from first on; lower ones are older.
func (f *fleet) add(server rotator.Origin, first, n int) {
	for i := first; i < first+n; i++ {
		born := time.Now().AddDate(0, 0, -400).Add(time.Duration(i) * time.Minute).UTC().Format(time.RFC3339)
		f.store.Put(string(tenant(i)), map[string]any{
			"username": userOf(i), "webmail_url": string(server) + "/webmail", "last_rotated": born, "created_at": born, "key_version": 1,
			"password": base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%-40d", i)),
		})
		f.mailu.AddUser(userOf(i), "old password")
	}
}

func (f *fleet) around(c rotatortest.Call) rotatortest.Fault {
	f.mu.Lock()
	f.calls = append(f.calls, c)
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return rotatortest.Fault{}
	}
	return hook(c)
}

// during runs a hook around each call from now on.
func (f *fleet) during(hook rotatortest.Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// count is the number of calls that match.
func (f *fleet) count(is func(rotatortest.Call) bool) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if is(c) {
			n++
		}
	}
	return n
}

func (f *fleet) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.reported = append(f.reported, err)
	}
}

// sweep is one process' sweep.
func (f *fleet) sweep(owner string, mailu rotator.Mailu) *sweep.Sweep {
	return &sweep.Sweep{
		Store: f.store, Keys: f.store, Mailu: mailu, Time: f.store, Clock: rotator.SystemClock{}, NewPassword: f.newPassword,
		DefaultPolicy: rotatortest.Policy(f.t, "180_days"), Owner: owner, Workers: 8, ClaimTTL: time.Minute, Canary: true, Grace: 5 * time.Second,
	}
}

func (f *fleet) newPassword() (crypto.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	return crypto.SecretFromString(fmt.Sprintf("Password-number-%08d", f.made)), nil
}

// open connects a process to NATS.
func (f *fleet) open(name string) *cluster.Cluster {
	f.t.Helper()
	c, err := cluster.Open(f.t.Context(), cluster.Config{
		Servers: []string{f.nats.URL}, Prefix: "MR", Replicas: 1, Batch: 5, AckWait: ackWait, Name: name, Version: "test",
		Clock: rotator.SystemClock{}, Report: f.report,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// session is one of a worker in memory.
type session struct {
	*sweep.WorkSession
	sweep *sweep.Sweep
}

func (s session) Work(ctx context.Context, b sweep.Batch, held func() bool, report func(sweep.Settled)) error {
	return s.sweep.Work(ctx, s.WorkSession, b, held, report)
}

// worker starts one, and waits until it is announced. The returned function stops it.
func (f *fleet) worker(name string, origins ...rotator.Origin) (stop func()) {
	f.t.Helper()
	c := f.open(name)
	w := &cluster.Worker{Cluster: c, Origins: origins, Open: func(ctx context.Context) (cluster.Session, error) {
		s := f.sweep(name, f.mailu)
		work, err := s.OpenWork(ctx)
		return session{work, s}, err
	}}
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	f.t.Cleanup(stop)
	f.eventually("worker "+name+" is announced", func() bool {
		all, err := c.Workers(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		for _, p := range all {
			if p.Worker == name {
				return true
			}
		}
		return false
	})
	return stop
}

func (f *fleet) eventually(what string, is func() bool) {
	f.t.Helper()
	for range 400 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.t.Fatalf("not within 20 s: %s", what)
}

// run plans a run over everything and follows it.
func (f *fleet) run(ctx context.Context, id string) sweep.Report {
	f.t.Helper()
	planner, err := f.open("planner of "+id).Plan(ctx, id)
	if err != nil {
		f.t.Fatal(err)
	}
	defer planner.Close()
	s := f.sweep("planner", f.mailu)
	s.Engine = planner
	report, err := s.Run(ctx, sweep.Selection{All: true}, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return report
}

// pushes counts the passwords that Mailu was sent for each tenant.
func (f *fleet) pushes() map[string]int {
	all := map[string]int{}
	f.count(func(c rotatortest.Call) bool {
		if c.Op == rotatortest.OpSetPassword {
			all[c.User]++
		}
		return false
	})
	return all
}

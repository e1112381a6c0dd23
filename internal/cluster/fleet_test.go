package cluster_test

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
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
	t        *testing.T
	nats     *natstest.Server
	config   cluster.Config // of all processes
	store    *rotatortest.Store
	mailu    *rotatortest.Mailu
	claimTTL time.Duration

	realSeals  bool        // passwords are sealed as in production
	keyRotated atomic.Bool // the master key has a second version

	mu       sync.Mutex
	hook     rotatortest.Hook                    // of the test
	watch    func(*host, rotatortest.Op, string) // likewise: is called before each request to Mailu, with the user
	calls    []rotatortest.Call
	reported []string
	made     int                    // passwords
	busy     map[rotator.Origin]int // requests under way
	most     int                    // of those, at one server
}

// TestMain runs more tests at a time than there are cores: they spend their time waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// newFleet also lets the test run beside others.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	t.Parallel()
	f := fleetOn(t, natstest.Run(t, natstest.Options{}))
	f.config.Servers = []string{f.nats.URL}
	return f
}

func fleetOn(t *testing.T, nats *natstest.Server) *fleet {
	f := &fleet{t: t, nats: nats, claimTTL: time.Minute, busy: map[rotator.Origin]int{}}
	f.config = cluster.Config{Prefix: "MR", Replicas: 1, Batch: 5, AckWait: ackWait, Announce: 300 * time.Millisecond, Version: "test", Clock: rotator.SystemClock{}, Report: f.report}
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

// once does something when the user is first to be sent a password.
func (f *fleet) once(user string, do func(h *host)) {
	var first sync.Once
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = func(h *host, op rotatortest.Op, of string) {
		if op == rotatortest.OpSetPassword && of == user {
			first.Do(func() { do(h) })
		}
	}
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
		f.reported = append(f.reported, err.Error())
	}
}

// reports counts the reports that have this part.
func (f *fleet) reports(part string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range f.reported {
		if strings.Contains(text, part) {
			n++
		}
	}
	return n
}

// noticed reports whether a worker has left a batch that another one may have: it was late,
// or NATS did not answer one of its results.
func (f *fleet) noticed() bool {
	return f.reports("another worker may have it")+f.reports("publish to mr.results") > 0
}

// awaitRest waits until these tenants have been rotated.
func (f *fleet) awaitRest(tenants ...int) {
	for range 200 {
		left := 0
		for _, n := range tenants {
			if fields, version := f.store.Get(string(tenant(n))); version < 3 || fields["pending"] != nil {
				left++
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // for their results
}

func (f *fleet) newPassword() (crypto.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	return crypto.SecretFromString(fmt.Sprintf("Password-number-%08d", f.made)), nil
}

// open connects a process to NATS.
func (f *fleet) open(name string, settings ...func(*cluster.Config)) *cluster.Cluster {
	f.t.Helper()
	config := f.config
	config.Name = name
	for _, set := range settings {
		set(&config)
	}
	c, err := cluster.Open(f.t.Context(), config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// jumpingClock is the clock of a process, which a test moves.
type jumpingClock struct {
	rotator.SystemClock
	by atomic.Int64 // nanoseconds
}

func (c *jumpingClock) Now() time.Time { return c.SystemClock.Now().Add(time.Duration(c.by.Load())) }

func (c *jumpingClock) jump(by time.Duration) { c.by.Add(int64(by)) }

// hurry moves it minute by minute until the run has ended.
func (c *jumpingClock) hurry(wait func() sweep.Report) sweep.Report {
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(time.Second):
				c.jump(time.Minute)
			}
		}
	}()
	defer close(ended)
	return wait()
}

func (c *jumpingClock) set(config *cluster.Config) { config.Clock = c }

func (f *fleet) eventually(what string, is func() bool) {
	f.t.Helper()
	for range 1200 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t.Fatalf("not within a minute: %s; reported:\n%s", what, strings.Join(f.reported, "\n"))
}

// everything is an emergency run.
var everything = sweep.Selection{All: true}

// run plans a run over everything and follows it.
func (f *fleet) run(ctx context.Context, id string) sweep.Report {
	f.t.Helper()
	return f.begin(ctx, id, everything, 0)()
}

// begin plans a run, which goes on until the result of begin returns.
func (f *fleet) begin(ctx context.Context, id string, sel sweep.Selection, window time.Duration, settings ...func(*cluster.Config)) (wait func() sweep.Report) {
	f.t.Helper()
	planner, err := f.open("planner of "+id, settings...).Plan(ctx, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.follow(func() (sweep.Report, error) {
		defer planner.Close()
		s := f.host("planner").sweep()
		s.Engine = planner
		return s.Run(ctx, sel, window)
	})
}

// attach follows a run of another process.
func (f *fleet) attach(id string) (sweep.Report, error) {
	f.t.Helper()
	return f.host("terminal").sweep().Attach(f.t.Context(), f.open("terminal").Attach(id))
}

func (f *fleet) follow(run func() (sweep.Report, error)) (wait func() sweep.Report) {
	var report sweep.Report
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		report, err = run()
	}()
	f.t.Cleanup(func() { <-ended })
	return func() sweep.Report {
		f.t.Helper()
		<-ended
		if err != nil {
			f.t.Fatal(err)
		}
		return report
	}
}

// want fails the test unless the report has these numbers of outcomes, and no others.
func want(t *testing.T, report sweep.Report, counts map[rotator.Outcome]int) {
	t.Helper()
	for _, o := range rotator.Outcomes() {
		if report.Count(o) != counts[o] {
			t.Errorf("%d tenants are %s, want %d", report.Count(o), o, counts[o])
		}
	}
	if t.Failed() {
		for _, row := range report.Rows {
			t.Logf("%s %s %s", row.Tenant, row.Outcome, row.Reason)
		}
	}
}

// wantOncePushed fails the test unless n users were sent one password each.
func (f *fleet) wantOncePushed(n int) {
	f.t.Helper()
	pushes := map[string]int{}
	f.count(func(c rotatortest.Call) bool {
		if c.Op == rotatortest.OpSetPassword {
			pushes[c.User]++
		}
		return false
	})
	if len(pushes) != n {
		f.t.Errorf("%d users were sent a password, want %d", len(pushes), n)
	}
	for user, times := range pushes {
		if times != 1 {
			f.t.Errorf("%s was sent %d passwords", user, times)
		}
	}
	if f.t.Failed() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.t.Log(strings.Join(f.reported, "\n"))
	}
}

var errDead = errors.New("the process is dead")

package hook_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/internal/hook"
	"mailu-rotator/rotator"
)

// long is a time limit that no test reaches.
const long = 5 * time.Minute

// bench is a runner whose hooks all run the same program, and its reports.
type bench struct {
	*hook.Runner
	t       *testing.T
	file    string // where record writes
	mu      sync.Mutex
	results []hook.Result
}

func newBench(t *testing.T, timeout time.Duration, args ...string) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{t: t, file: filepath.Join(t.TempDir(), "received")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"record", b.file}
	}
	argv := append([]string{self}, args...)
	b.Runner = hook.Start(rotator.SystemClock{}, hook.Settings{
		Programs: map[hook.Name][]string{hook.AfterRotation: argv, hook.OnFailure: argv, hook.AfterRun: argv},
		Timeout:  timeout,
		Report: func(r hook.Result) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.results = append(b.results, r)
		},
	})
	return b
}

// finish closes the runner and returns what the programs recorded.
func (b *bench) finish() (all []received) {
	b.t.Helper()
	b.Close(context.Background())
	for _, r := range b.results {
		if r.Err != nil {
			b.t.Errorf("%s: %v: %s", r.Hook, r.Err, r.Output)
		}
	}
	file, err := os.Open(b.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var one received
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func TestProgramGetsTheEventAndNothingElse(t *testing.T) {
	b := newBench(t, long)

	b.Observe(rotator.Event{
		Name: rotator.TenantDone, Tenant: "acme", User: "admin@acme.example", Origin: "https://mail.example.com", Rotation: "r1", Outcome: rotator.Failed,
		Err: errors.New("line 1\nline \x1b 2"),
	})
	all := b.finish()

	if len(all) != 1 {
		t.Fatalf("ran %d times", len(all))
	}
	got := all[0]
	if _, err := time.Parse(time.RFC3339, got.Document.Time); err != nil {
		t.Error(err)
	}
	got.Document.Time = ""
	want := received{
		Document: hook.Document{
			Version: 1, Hook: hook.OnFailure, Event: "tenant done", Tenant: "acme", User: "admin@acme.example",
			Origin: "https://mail.example.com", Rotation: "r1", Outcome: "failed", Error: "line 1\nline \x1b 2",
		},
		Arguments:   []string{"record", b.file},
		Environment: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MAILU_ROTATOR_HOOK=on_failure"},
		Directory:   "/", OwnGroup: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEventsHaveTheirHooks(t *testing.T) {
	trouble := errors.New("trouble")
	b := newBench(t, long)
	var want []string
	for _, c := range []struct {
		event rotator.Event
		hook  hook.Name
	}{
		{rotator.Event{Name: rotator.SweepStarted}, ""},
		{rotator.Event{Name: rotator.RotationCommitted}, ""},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated}, hook.AfterRotation},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Finished}, hook.AfterRotation},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Restored}, hook.AfterRotation},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Fresh}, ""},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Deferred, Err: trouble}, ""},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Unfinished, Err: trouble}, hook.OnFailure},
		{rotator.Event{Name: rotator.TenantSkipped, Outcome: rotator.Invalid, Err: trouble}, hook.OnFailure},
		{rotator.Event{Name: rotator.TenantSkipped, Outcome: rotator.Ignored, Err: trouble}, ""},
		{rotator.Event{Name: rotator.SweepFinished, Count: 2}, hook.AfterRun},
		{rotator.Event{Name: rotator.VerificationStarted}, ""},
		{rotator.Event{Name: rotator.TenantRepaired}, hook.AfterRotation},
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StateOK}, ""},
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StateDrift, Err: trouble}, hook.OnFailure},
		{rotator.Event{Name: rotator.VerificationFinished, Count: 1}, hook.AfterRun},
		{rotator.Event{Name: rotator.VerificationRefused, Err: trouble}, hook.OnFailure},
	} {
		b.Observe(c.event)
		if c.hook != "" {
			want = append(want, string(c.hook)+" "+string(c.event.Name)+" "+string(c.event.Outcome)+string(c.event.State))
		}
	}

	var got []string
	for _, one := range b.finish() {
		d := one.Document
		got = append(got, string(d.Hook)+" "+d.Event+" "+d.Outcome+d.State)
	}

	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRunsAreCounted(t *testing.T) {
	b := newBench(t, long)
	for _, e := range []rotator.Event{
		{Name: rotator.TenantDone, Outcome: rotator.Restored}, // a rollback, of no run
		{Name: rotator.SweepStarted},
		{Name: rotator.SweepPlanned, Count: 3},
		{Name: rotator.TenantSkipped, Outcome: rotator.Ignored},
		{Name: rotator.TenantDone, Outcome: rotator.Deferred},
		{Name: rotator.TenantDone, Outcome: rotator.Deferred},
		{Name: rotator.SweepFinished, Count: 0},
		{Name: rotator.VerificationStarted},
		{Name: rotator.VerificationPlanned, Count: 1},
		{Name: rotator.TenantVerified, State: rotator.StateUnproven},
		{Name: rotator.VerificationFinished, Count: 0},
	} {
		b.Observe(e)
	}

	var runs []hook.Run
	for _, one := range b.finish() {
		if one.Document.Run != nil {
			one.Document.Run.Started = ""
			runs = append(runs, *one.Document.Run)
		}
	}

	want := []hook.Run{
		{Task: "sweep", Planned: 3, Counts: map[string]int{"ignored": 1, "deferred": 2}},
		{Task: "verification", Planned: 1, Counts: map[string]int{"unproven": 1}},
	}
	if !reflect.DeepEqual(runs, want) {
		t.Errorf("got  %+v\nwant %+v", runs, want)
	}
}

// A daemon retries a refused run, for hours if need be.
func TestRefusalsAreToldOnceATick(t *testing.T) {
	b := newBench(t, long)
	refused := rotator.Event{Name: rotator.SweepRefused, Err: errors.New("vault is sealed")}

	for _, e := range []rotator.Event{
		refused, refused, refused, // at the start: 1
		{Name: rotator.TickScheduled}, refused, refused, // the next night: 2
		{Name: rotator.SweepPlanned}, refused, // a run has worked in between: 3
		{Name: rotator.VerificationRefused, Err: errors.New("vault is sealed")}, // another task: 4
	} {
		b.Observe(e)
	}

	if all := b.finish(); len(all) != 4 {
		t.Errorf("told %d times, want 4", len(all))
	}
}

func TestFailureIsReportedAndTheNextOneRuns(t *testing.T) {
	b := newBench(t, long, "fail")

	b.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: "one", Outcome: rotator.Rotated})
	b.Observe(rotator.Event{Name: rotator.TenantDone, Tenant: "two", Outcome: rotator.Rotated})
	b.Close(context.Background())

	if len(b.results) != 2 {
		t.Fatalf("got %+v", b.results)
	}
	for i, r := range b.results {
		want := hook.Result{Hook: hook.AfterRotation, Tenant: []string{"one", "two"}[i], Program: r.Program, Took: r.Took, Output: `out\u001b[2J` + "\n" + `err\u009b\u202e`, Err: r.Err}
		if !reflect.DeepEqual(r, want) || r.Err == nil || r.Err.Error() != "exit status 3" {
			t.Errorf("got %+v, want %+v", r, want)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	b := newBench(t, long, "shout")

	b.Observe(rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated})
	b.Close(context.Background())

	if r := b.results[0]; r.Err != nil || r.Output != strings.Repeat("x", 4096)+" … (cut off)" {
		t.Errorf("%d bytes, %v", len(r.Output), r.Err)
	}
}

func TestProgramThatIsNotThereIsReported(t *testing.T) {
	var got []hook.Result
	r := hook.Start(rotator.SystemClock{}, hook.Settings{
		Programs: map[hook.Name][]string{hook.AfterRun: {"/nonexistent/hook"}}, Timeout: long,
		Report: func(r hook.Result) { got = append(got, r) },
	})

	r.Observe(rotator.Event{Name: rotator.SweepFinished})
	r.Close(context.Background())

	if len(got) != 1 || !errors.Is(got[0].Err, os.ErrNotExist) {
		t.Errorf("got %+v", got)
	}
}

func TestReloadChangesWhatIsRun(t *testing.T) {
	b := newBench(t, long)
	done := rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated}

	b.Observe(done)
	b.Reload(hook.Settings{})
	b.Observe(done)

	if all := b.finish(); len(all) != 1 {
		t.Errorf("ran %d times, want once: before the reload", len(all))
	}
}

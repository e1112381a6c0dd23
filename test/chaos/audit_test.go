package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The audit must be able to find breaks: each history here breaks a promise, or just
// keeps all of them.
func TestAuditFindsWhatBreaksAPromise(t *testing.T) {
	first := version{number: 1, current: "p1", others: "x", createdAt: "then"}
	prepared := version{number: 2, current: "p1", pending: "p2", owner: "a", until: second(10), others: "x", createdAt: "then"}
	committed := version{number: 3, current: "p2", others: "x", createdAt: "then"}
	with := func(v version, change func(*version)) version { change(&v); return v }
	tests := []struct {
		name    string
		history []any // versions, sets (a string), or shown; a second apart
		edits   map[string]edit
		want    string // "" for nothing
	}{
		{name: "a rotation", history: []any{first, prepared, "p2", shown{}, committed}},
		{name: "a push repeated", history: []any{first, prepared, "p2", "p2", shown{}, "p2", committed}},
		{name: "abandoned", history: []any{first, prepared, with(first, number(3))}},
		{name: "commit before push", history: []any{first, prepared, committed, "p2"}, want: "p2 became current before mailu was proven to hold it"},
		{name: "a push never stored", history: []any{first, prepared, committed}, want: "locked out: mailu still had p1"},
		{name: "commit before verify", history: []any{first, prepared, "p2", committed}, want: "p2 became current before mailu was proven to hold it"},
		{name: "verified before the push", history: []any{first, prepared, shown{}, "p2", committed}, want: "p2 became current before"},
		{name: "push before prepare", history: []any{first, "p2", prepared, shown{}, committed}, want: "locked out: mailu was given p2"},
		{name: "abandoned although pushed", history: []any{first, prepared, "p2", with(first, number(3))}, want: "locked out: mailu still had p2"},
		{
			name: "a second password", want: "a second password, p3, was made while p2 was pending",
			history: []any{first, prepared, with(prepared, func(v *version) { v.number, v.pending = 3, "p3" })},
		},
		{
			name: "a take-over in time", want: "b took a claim that stood until 00:00:10.000",
			history: []any{first, prepared, with(prepared, func(v *version) { v.number, v.owner, v.until = 3, "b", second(20) })},
		},
		{
			name:    "a take-over after its time",
			history: []any{first, with(prepared, func(v *version) { v.until = second(2) }), with(prepared, func(v *version) { v.number, v.owner, v.until = 3, "b", second(20) })},
		},
		{name: "never pending", history: []any{first, with(committed, number(2)), "p2"}, want: "p2 became current without having been pending"},
		{name: "another than the pending one", history: []any{first, prepared, with(committed, func(v *version) { v.current = "p3" })}, want: "p3 became current while p2 was pending"},
		{name: "created_at", history: []any{first, with(prepared, func(v *version) { v.createdAt = "now" })}, want: "created_at changed"},
		{name: "a field of others", history: []any{first, with(prepared, func(v *version) { v.others = "y" })}, want: "fields of others changed"},
		{
			name:    "an edit",
			history: []any{first, with(first, func(v *version) { v.number, v.others, v.mark = 2, "y", "e1" })},
			edits:   map[string]edit{"e1": {onto: 1, others: "y"}},
		},
		{
			name: "an edit undone", want: "fields of others changed",
			history: []any{first, with(first, func(v *version) { v.number, v.others, v.mark = 2, "y", "e1" }), with(prepared, number(3))},
			edits:   map[string]edit{"e1": {onto: 1, others: "y"}},
		},
		{name: "a version missing", history: []any{first, with(prepared, number(3))}, want: "version 3 follows version 1"},
		{name: "history cut off", history: []any{with(first, number(4))}, want: "the history begins with version 4"},
		{name: "unreadable", history: []any{first, with(prepared, func(v *version) { v.pending = unreadable })}, want: "version 2 does not open"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := tell(test.history...)
			s.edits = test.edits

			got := audit(s)

			if test.want == "" && len(got.findings) > 0 {
				t.Errorf("found %q", got.findings[0].what)
			}
			if test.want != "" && !slices.ContainsFunc(got.findings, func(f finding) bool { return strings.Contains(f.what, test.want) }) {
				t.Errorf("found %v, want %q", got.findings, test.want)
			}
		})
	}
}

func TestAuditCountsWhatWasDone(t *testing.T) {
	s := tell(
		version{number: 1, current: "p1"},
		version{number: 2, current: "p1", pending: "p2", owner: "a", until: second(2)},
		version{number: 3, current: "p1", pending: "p2", owner: "a", until: second(3)},
		version{number: 4, current: "p1", pending: "p2", owner: "b", until: second(9)},
		"p2", shown{},
		version{number: 5, current: "p2"},
		version{number: 6, current: "p2", pending: "p3", owner: "b", until: second(20)},
		version{number: 7, current: "p2"},
	)

	got := audit(s)

	if len(got.findings) > 0 {
		t.Fatalf("found %v", got.findings)
	}
	if got.prepared != 2 || got.committed != 1 || got.takeovers != 1 || got.renewals != 1 || got.abandoned != 1 || got.lost {
		t.Errorf("%+v", got)
	}
}

func TestALostPasswordIsOneThatNoVersionHas(t *testing.T) {
	named := audit(tell(version{number: 1, current: "p1"}))
	lost := audit(tell(version{number: 1, current: "p1"}, "p2"))

	if named.lost || !lost.lost || len(lost.findings) != 1 {
		t.Errorf("named %+v, lost %+v", named, lost)
	}
}

// An excuse covers one push and its consequences. Another lock-out of the same tenant,
// even at the same time, is still found.
func TestAnExcuseCoversTheStrayPushAlone(t *testing.T) {
	rotatedTwice := []any{
		version{number: 1, current: "p1"},
		version{number: 2, current: "p1", pending: "p2", owner: "a", until: second(2)}, "p2", shown{},
		version{number: 3, current: "p2"},
		version{number: 4, current: "p2", pending: "p3", owner: "b", until: second(20)}, "p3", shown{},
		version{number: 5, current: "p3"},
	}
	stray := tell(append(rotatedTwice, "p2", version{number: 6, current: "p3", pending: "p4", owner: "b", until: second(30)}, "p4", shown{}, version{number: 7, current: "p4"})...)
	stray.excuses = []excuse{{from: second(9), to: second(9), password: "p2"}}
	other := tell(append(rotatedTwice, "p1")...)
	afterwards := tell(append(rotatedTwice, "p2", "p1")...)
	other.excuses, afterwards.excuses = stray.excuses, stray.excuses

	healed, guilty, both := audit(stray), audit(other), audit(afterwards)

	if len(healed.findings) > 0 || healed.astray != 1 || healed.healed != 1 {
		t.Errorf("the stray push: %+v", healed)
	}
	if len(guilty.findings) != 1 || guilty.astray != 0 {
		t.Errorf("another one: %+v", guilty)
	}
	if len(both.findings) != 1 || both.astray != 1 {
		t.Errorf("another one after it: %+v", both)
	}
}

func TestAFindingShowsWhatHappenedAroundItWithoutPasswords(t *testing.T) {
	known := names{}
	s := tell(version{number: 1, current: known.of("hunter2")}, known.of("correct horse"))

	got := audit(s).findings[0]

	if len(got.around) != 2 || got.around[0].String() != "00:00:00.000000  vault  version 1: current p1" || got.around[1].String() != "00:00:01.000000  mailu  set p2" {
		t.Errorf("around: %v", got.around)
	}
}

// shown stands for a GET that showed Mailu's hash.
type shown struct{}

func second(n int) time.Time { return time.Unix(int64(n), 0) }

// tell makes a history of events that are a second apart.
func tell(events ...any) history {
	s := history{tenant: "acme", held: "p1"}
	for i, e := range events {
		switch e := e.(type) {
		case version:
			e.at = second(i)
			s.versions = append(s.versions, e)
		case string:
			s.sets = append(s.sets, set{second(i), e})
		case shown:
			s.shown = append(s.shown, second(i))
		}
	}
	return s
}

func number(n int) func(*version) { return func(v *version) { v.number = n } }

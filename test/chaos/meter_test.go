package main

import (
	"strings"
	"testing"
)

// Two requests are allowed. A process that was stopped had begun with the tenant old.
func TestRequestsBeyondTheLimitAreFound(t *testing.T) {
	worker, stopped := &process{name: "worker"}, &process{name: "stopped"}
	stopped.work.begins("done")
	stopped.work.ends("done")
	stopped.work.begins("old")
	stopped.work.freeze()
	stopped.work.thaw()
	of := func(p *process, tenant string) *flight { return &flight{by: p, tenant: tenant, method: "PATCH"} }
	tests := []struct {
		name  string
		third *flight
		want  bool
	}{
		{"of another worker", of(worker, "c"), true},
		{"of what it had begun", of(stopped, "old"), false},
		{"of what it had not begun", of(stopped, "new"), true},
		{"of what it had done", of(stopped, "done"), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &meter{name: "mailu", limit: 2, tally: newTally()}
			m.arrive(t.Context(), of(worker, "a"))
			m.arrive(t.Context(), of(worker, "b"))

			m.leave(m.arrive(t.Context(), test.third))
			m.leave(m.arrive(t.Context(), test.third))

			if found := len(m.findings) > 0; found != test.want {
				t.Errorf("found %v, want %t", m.findings, test.want)
			}
			if counted := m.tally.of("in flight", outlivedPush) > 0; counted == test.want {
				t.Errorf("counted %t, want %t", counted, !test.want)
			}
		})
	}
}

func TestARequestThatHasEndedIsNotInFlight(t *testing.T) {
	m := &meter{limit: 1, tally: newTally()}
	worker := &process{name: "worker"}
	for range 3 {
		m.leave(m.arrive(t.Context(), &flight{by: worker}))
	}

	if len(m.findings) > 0 || m.most != 1 {
		t.Errorf("found %v, at most %d", m.findings, m.most)
	}
}

func TestNeedlesAreFoundAnywhere(t *testing.T) {
	all := needles{}
	all.add("a password", `with "quotes"`)
	all.add("a token", "hvs.")
	tests := []struct{ name, text, want string }{
		{"nothing", "nothing to see", ""},
		{"at the beginning", `with "quotes" and more`, "a password"},
		{"as JSON", `{"p":"with \"quotes\""}`, "a password"},
		{"at the end", "ends with hvs.", "a token"},
		{"only its beginning", `with "quo`, ""},
		{"both", `hvs.with "quotes"hvs.`, "a token, a password"},
		{"short", "h", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(all.in([]byte(test.text)), ", "); got != test.want {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}

package sweep_test

import (
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// bringers bring in an existing password.
var bringers = map[string]func(*testing.T, *fleet){
	"repair":   func(t *testing.T, f *fleet) { f.verify(t, true) },
	"rollback": func(t *testing.T, f *fleet) { _, _ = f.sweep.Rollback(t.Context(), string(tenant(1)), 0) },
}

// A repair and a rollback bring in a password that they read before. What another
// writer wrote since then is newer, and stays.
func TestAnOlderPasswordIsNotPushedOverWhatWasWrittenSince(t *testing.T) {
	others := map[string]func(*testing.T, *fleet){
		"a whole rotation": func(t *testing.T, f *fleet) {
			if _, err := f.process(t, "another process").Run(t.Context(), sweep.Selection{}, 0); err != nil {
				t.Error(err)
			}
		},
		"a password of an operator": func(t *testing.T, f *fleet) {
			f.setCurrent(t, 1, "the operator's")
			f.mailu.AddUser(userOf(1), "the operator's")
		},
	}
	for verb, run := range bringers {
		for other, write := range others {
			t.Run(verb+", "+other, func(t *testing.T) {
				inFleet(t, func(t *testing.T, f *fleet) {
					f.sealed(t, 1, "first")
					f.setCurrent(t, 1, "second")
					f.mailu.AddUser(userOf(1), "set by hand") // drift that no version explains
					f.fault = f.before(rotatortest.OpWrite, func() { write(t, f) })

					run(t, f)

					if held := f.mailu.Password(userOf(1)); held != "password 1" && held != "the operator's" {
						t.Errorf("Mailu accepts %q", held)
					}
					f.mustAgree(t, 1, f.mailu.Password(userOf(1)))
				})
			})
		}
	}
}

func TestAnOlderPasswordIsNotLaidOverAPendingOne(t *testing.T) {
	for verb, run := range bringers {
		t.Run(verb, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.sealed(t, 1, "first")
				f.setCurrent(t, 1, "second")
				f.mailu.AddUser(userOf(1), "set by hand")
				f.fault = f.before(rotatortest.OpWrite, func() { f.leave(t, 1, "another process", f.began.Add(ttl)) })

				run(t, f)

				fields, _ := f.store.Get(string(tenant(1)))
				if pending, _ := fields["pending"].(map[string]any); pending["owner"] != "another process" || f.mailu.Sets() > 0 {
					t.Errorf("%d pushes, pending %v", f.mailu.Sets(), pending)
				}
			})
		})
	}
}

// before calls what before the first call of a kind.
func (f *fleet) before(op rotatortest.Op, what func()) rotatortest.Hook {
	return func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == op && what != nil {
			first := what
			what = nil
			first()
		}
		return rotatortest.Fault{}
	}
}

// A password from the history that Mailu cannot confirm again was pending for nobody:
// restored as pending it would have no owner, and such a record cannot be parsed.
func TestARepairWithoutAnAnswerLeavesTheRecordAsItIs(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "first")
		f.setCurrent(t, 1, "second")
		f.mailu.AddUser(userOf(1), "first")
		_, before := f.store.Get(string(tenant(1)))
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpVerify && len(f.of(rotatortest.OpVerify)) == 3 { // for the current one, the former one, and before the commit
				return rotatortest.Fault{Before: rotatortest.ErrLost}
			}
			return rotatortest.Fault{}
		}

		got := f.verify(t, true).Findings[0]

		if _, after := f.store.Get(string(tenant(1))); after != before || got.Repaired || len(f.of(rotatortest.OpVerify)) != 3 {
			t.Errorf("version %d became %d, repaired %t after %d questions: %s", before, after, got.Repaired, len(f.of(rotatortest.OpVerify)), got.Reason)
		}
	})
}

func TestARebaseIsToldIfTheRecordChanged(t *testing.T) {
	for name, edits := range map[string]int{"a conflict without a change": 0, "an edit": 1} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.Op != rotatortest.OpWrite || len(f.of(rotatortest.OpWrite)) != 1 {
						return rotatortest.Fault{}
					}
					for range edits {
						f.edit(1, func(fields map[string]any) { fields["note"] = "edited" })
					}
					return rotatortest.Fault{Before: rotator.ErrConflict}
				}

				mustEnd(t, f.run(t, sweep.Selection{}), "1 rotated")

				if told := f.told(rotator.RecordRebased); len(told) != edits {
					t.Errorf("told %d times", len(told))
				}
			})
		})
	}
}

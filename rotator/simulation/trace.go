package simulation

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Violation is a schedule that breaks a promise.
type Violation struct {
	Broken   string
	Schedule string // a line per step: who, what, and the world after it
}

func (v *Violation) String() string { return v.Broken + "\n" + v.Schedule }

func (x *explorer) found(w *world, schedule []action, atRest bool) {
	x.result.Violation = &Violation{Broken: w.violation, Schedule: x.scenario.trace(slices.Clone(schedule), atRest)}
}

// trace replays a schedule and describes it for people.
func (s *Scenario) trace(schedule []action, atRest bool) string {
	var lines strings.Builder
	var stages stages
	w := newWorld(s, maphash.MakeSeed(), &stages)
	defer stages.close()
	defer w.close()
	w.narrate(&lines)
	for _, a := range schedule {
		w.do(a)
	}
	if atRest {
		w.checkRest(w.settle())
	}
	return lines.String()
}

// narrate writes a line for each further step.
func (w *world) narrate(lines *strings.Builder) {
	w.tell = func(what string) {
		fmt.Fprintf(lines, "%3d  %-58s %s\n", strings.Count(lines.String(), "\n")+1, what, w.describe())
	}
}

// describe returns the world on one line.
func (w *world) describe() string {
	line := fmt.Sprintf("Mailu %q, Vault v%d", w.mailu.password, w.vault.newest())
	if w.vault.vacant() {
		return line + ": no record"
	}
	switch held := w.held(w.vault.fields()); len(held) {
	case 0:
		return line + " deleted"
	case 1:
		if w.vault.fields()["password"] == nil {
			return line + fmt.Sprintf(" nothing + pending %q", held[0])
		}
		return line + fmt.Sprintf(" %q", held[0])
	default:
		pending, _ := pendingOf(w.vault.fields())
		claim := "lapsed"
		if w.holdsClaim(text(pending, "owner"), held[1]) {
			claim = "live"
		}
		return line + fmt.Sprintf(" %q + pending %q (%s, %s)", held[0], held[1], text(pending, "owner"), claim)
	}
}

// name describes an action before it is taken.
func (w *world) name(a action) string {
	switch a.kind {
	case grant:
		p := w.procs[a.who]
		call := p.first()
		if p.status == calling {
			call = p.request.call
		}
		if a.fate >= FirstPause {
			return fmt.Sprintf("%s: waits %s", p.Name, w.scenario.Pauses[a.fate-FirstPause])
		}
		return fmt.Sprintf("%s: %s: %s", p.Name, call, a.fate)
	case deliver:
		return fmt.Sprintf("%s: the late answer arrives", w.procs[a.who].Name)
	case land:
		return fmt.Sprintf("the late %s of %s happens", w.late[a.who].request.call, w.late[a.who].by)
	case operate:
		return "the operator " + w.scenario.Operator[w.acted].String()
	}
	return "all processes stall past their claims"
}

package main

import (
	"fmt"
	"slices"
	"time"
)

// finding is a broken promise.
type finding struct {
	tenant string
	at     time.Time
	what   string
	around []moment
}

// judgement is the result for a history.
type judgement struct {
	findings  []finding
	prepared  int // rotations begun
	committed int // passwords that became current
	takeovers int // claims rewritten by another process
	renewals  int // claims rewritten by their owner
	abandoned int
	edits     int
	astray    int  // excused: Mailu held a password that Vault named no longer, or not yet again
	healed    int  // of these, the ones that recovered
	lost      bool // Mailu ends with a password that no version has
}

// audit checks one tenant's history against the promises:
//
//   - At any moment Mailu accepts the record's current or pending password.
//   - A password becomes current only after it was pending, and after Mailu has
//     shown that it holds it.
//   - No process makes a second password while one is pending, or takes a claim
//     that is valid.
//   - Fields of others do not change.
func audit(s history) judgement {
	a := &auditor{history: s, all: s.timeline(), known: map[string]bool{}}
	for a.i = range a.all {
		a.step(a.all[a.i])
	}
	a.lost = !a.known[a.held]
	return a.judgement
}

type auditor struct {
	history
	judgement
	all   []moment
	i     int             // index in all
	last  *version        // nil before the first version
	proof string          // the password whose hash Mailu has shown since it holds it
	known map[string]bool // the passwords that Vault has held
	stray bool            // Mailu holds the password of an excused push
	wrong bool            // the first promise is already broken
	mild  bool            // and the break is excused
}

func (a *auditor) step(m moment) {
	switch {
	case m.set != nil:
		if m.set.password != a.held {
			a.held, a.proof = m.set.password, ""
		}
		a.stray = slices.ContainsFunc(a.excuses, func(e excuse) bool { return e.covers(*m.set) })
		a.reachable("mailu was given")
	case m.shown:
		a.proof = a.held
	case m.version != nil:
		a.known[m.version.current], a.known[m.version.pending] = true, true
		if a.last != nil {
			a.follow(*a.last, *m.version)
		} else if m.version.number != 1 {
			a.find("the history begins with version %d", m.version.number)
		}
		a.last = m.version
		a.reachable("mailu still had")
	}
}

// reachable checks the first promise. It reports a break once, until the promise holds
// again.
func (a *auditor) reachable(how string) {
	switch {
	case a.last != nil && (a.held == a.last.current || a.held == a.last.pending):
		if a.wrong && a.mild {
			a.healed++
		}
		a.wrong = false
	case a.stray && !a.wrong:
		a.wrong, a.mild = true, true
		a.astray++
	case a.stray, a.wrong && !a.mild: // already reported
	default:
		a.wrong, a.mild = true, false
		a.find("locked out: %s %s, which the record does not name", how, a.held)
	}
}

// follow checks a version against the previous one.
func (a *auditor) follow(from, to version) {
	if to.number != from.number+1 {
		a.find("version %d follows version %d", to.number, from.number)
	}
	if to.current == unreadable || to.pending == unreadable {
		a.find("version %d does not open", to.number)
	}
	a.fields(from, to)
	switch {
	case from.pending != "" && to.pending == "":
		a.end(from, to)
		return
	case from.pending == "" && to.pending != "":
		a.prepared++
	case from.pending != to.pending:
		a.find("a second password, %s, was made while %s was pending", to.pending, from.pending)
	case from.pending != "":
		a.claim(from, to)
	}
	if to.current != from.current && !a.strayedBefore(to.at) {
		a.find("%s became current without having been pending", to.current)
	}
}

// strayedBefore: the password of a stray push may be recorded again.
func (a *auditor) strayedBefore(at time.Time) bool {
	return slices.ContainsFunc(a.excuses, func(e excuse) bool { return at.After(e.from) })
}

// end checks a commit, or an abandonment.
func (a *auditor) end(from, to version) {
	switch {
	case to.current == from.current:
		a.abandoned++
	case to.current != from.pending:
		a.find("%s became current while %s was pending", to.current, from.pending)
	default:
		a.committed++
		if a.proof != to.current && !a.stray {
			a.find("%s became current before mailu was proven to hold it", to.current)
		}
	}
}

func (a *auditor) claim(from, to version) {
	switch {
	case to.owner == from.owner && to.until.Equal(from.until): // an edit of other fields
	case to.owner == from.owner:
		a.renewals++
	default:
		a.takeovers++
		if to.at.Before(from.until) {
			a.find("%s took a claim that stood until %s", to.owner, from.until.UTC().Format("15:04:05.000"))
		}
	}
}

// fields: only the operator's edits may change fields of others.
func (a *auditor) fields(from, to version) {
	if to.createdAt != from.createdAt {
		a.find("created_at changed")
	}
	if to.mark == from.mark && to.others == from.others {
		return
	}
	e, ours := a.history.edits[to.mark]
	switch {
	case to.mark == from.mark || !ours || e.onto != from.number || e.others != to.others:
		a.find("fields of others changed:\n      %s\n      %s", from.others, to.others)
	default:
		a.judgement.edits++
	}
}

func (a *auditor) find(format string, args ...any) {
	a.findings = append(a.findings, finding{
		tenant: a.tenant, at: a.all[a.i].at, what: fmt.Sprintf(format, args...), around: nearby(a.all, a.i),
	})
}

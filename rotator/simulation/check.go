package simulation

import (
	"fmt"
	"slices"
	"strconv"

	"mailu-rotator/crypto"
)

// Excuse is a reason why Mailu may, for a time, accept a password that is neither the
// record's current nor its pending one. There are no other reasons.
type Excuse uint8

// The excuses.
const (
	None Excuse = iota
	// Deleted: an operator deleted the record's metadata; Vault holds nothing.
	Deleted
	// Overdue: Mailu's password was set by a push that was begun under a valid claim;
	// its process was stopped there, and continued after the claim had expired.
	Overdue
	// Stray: the same, but the process had given up the request, which was still in
	// transit.
	Stray
	// Overwritten: an operator removed Mailu's password from the record, or set it in
	// Mailu by hand.
	Overwritten
)

func (e Excuse) String() string {
	return [...]string{"none", "record deleted", "overdue push", "stray push", "operator"}[e]
}

// ledger is the state of the checks.
type ledger struct {
	dropped   map[string]bool // passwords that an operator removed from the record
	prepared  []string        // sealed, in order
	abandoned int
	undone    int // commits undone by an overdue push: its password was made current instead of theirs
	acts      int
	excuse    Excuse // the current excuse
	excused   uint8  // all excuses so far, one bit each
}

func (l *ledger) drop(passwords ...string) {
	if l.dropped == nil {
		l.dropped = map[string]bool{}
	}
	for _, p := range passwords {
		l.dropped[p] = true
	}
}

// keep withdraws the excuse of passwords that the record holds.
func (l *ledger) keep(passwords ...string) {
	for _, p := range passwords {
		delete(l.dropped, p)
	}
}

// check tests the invariant after every step.
func (w *world) check() {
	held := w.held(w.vault.restorable())
	w.ledger.keep(held...)
	w.ledger.excuse = None
	if slices.Contains(held, w.mailu.password) || w.beingAdded() && w.mailu.password == w.before {
		return
	}
	switch {
	case w.vault.gone:
		w.ledger.excuse = Deleted
	case w.mailu.own || w.ledger.dropped[w.mailu.password]:
		w.ledger.excuse = Overwritten
	case w.mailu.late && w.mailu.stray:
		w.ledger.excuse = Stray
	case w.mailu.late:
		w.ledger.excuse = Overdue
	default:
		w.violate("locked out: Mailu accepts %q, Vault holds %q", w.mailu.password, held)
	}
	w.ledger.excused |= 1 << w.ledger.excuse
}

// beingAdded reports whether no password has ever been current.
func (w *world) beingAdded() bool {
	return w.vault.vacant() || w.scenario.Vacant && !w.vault.gone && w.vault.restorable()["password"] == nil
}

// checkWrite checks a process's write as it takes effect.
func (w *world) checkWrite(by string, former, fields map[string]any) {
	for _, name := range []string{"note", "created_at", "ticket", "username", "webmail_url"} {
		if former != nil && former[name] != fields[name] {
			w.violate("%s changes the field %s of others", by, name)
		}
	}
	if fields["password"] != former["password"] && w.open(fields) == w.mailu.password {
		w.mailu.late, w.mailu.own = false, false // a process saw what Mailu holds, and made it current
	}
	before, hadPending := pendingOf(former)
	after, hasPending := pendingOf(fields)
	if former["password"] != fields["password"] && before["password"] != fields["password"] && w.open(former) != w.open(fields) {
		w.ledger.undone++
	}
	switch {
	case fields["password"] == nil && !hasPending:
		w.violate("%s leaves a record without any password", by)
	case hasPending && hadPending && before["password"] != after["password"]:
		w.violate("%s writes a second password beside a pending one", by)
	case hasPending && hadPending && before["owner"] != after["owner"] && w.holdsClaim(text(before, "owner"), w.open(before)):
		w.violate("%s takes the claim of %s while it stands", by, text(before, "owner"))
	case hadPending && !hasPending && former["password"] == fields["password"]:
		w.ledger.abandoned++
	case hasPending && !hadPending && !slices.Contains(w.ledger.prepared, text(after, "password")):
		w.ledger.prepared = append(w.ledger.prepared, text(after, "password"))
	}
}

// beginsPush checks a push as its process begins it, and reports whether it has a valid
// claim.
func (w *world) beginsPush(p *process, password string) bool {
	if w.holdsClaim(p.Name, password) {
		return true
	}
	if w.ledger.acts == 0 { // otherwise the claim may have been lost with the record
		w.violate("%s begins a push without a live claim", p.Name)
	}
	return false
}

// held returns the passwords of a record: current, then pending.
func (w *world) held(fields map[string]any) []string {
	if fields == nil {
		return nil
	}
	var passwords []string
	if fields["password"] != nil {
		passwords = append(passwords, w.open(fields))
	}
	if pending, found := pendingOf(fields); found {
		passwords = append(passwords, w.open(pending))
	}
	return passwords
}

// open opens a record's passwords with nothing but the record.
func (w *world) open(fields map[string]any) string {
	sealed, lastRotated, key := text(fields, "password"), text(fields, "last_rotated"), fmt.Sprint(fields["key_version"])
	if password, known := w.opened[[3]string{sealed, lastRotated, key}]; known {
		return password
	}
	binding := crypto.Binding{TenantID: tenant, LastRotated: lastRotated}
	version, _ := strconv.Atoi(key)
	secret, err := w.scenario.envelope("the checker").Open(crypto.KeyVersion(version), binding, crypto.SealedPassword(sealed))
	if err != nil {
		w.violate("Vault holds a password that does not open: %v", err)
	}
	w.opened[[3]string{sealed, lastRotated, key}] = secret.RevealString()
	return secret.RevealString()
}

// violate records the first violation of a schedule.
func (w *world) violate(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
	}
}

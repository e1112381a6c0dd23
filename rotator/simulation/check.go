package simulation

import (
	"fmt"
	"slices"
	"strconv"

	"mailu-rotator/crypto"
)

// Excuse is a reason for which Mailu may, for a time, accept a password that is
// neither the record's current one nor its pending one. There are no others.
type Excuse uint8

// The excuses.
const (
	None Excuse = iota
	// Deleted: an operator deleted the record's metadata; Vault holds nothing.
	Deleted
	// Overdue: Mailu's password was set by a push that was begun under a claim;
	// its process was stopped there, and went on when the claim was over.
	Overdue
	// Stray: the same, but the process had given the request up; it was still
	// under way somewhere.
	Stray
	// Overwritten: an operator took Mailu's password out of the record, or set it
	// in Mailu by hand.
	Overwritten
)

func (e Excuse) String() string {
	return [...]string{"none", "record deleted", "overdue push", "stray push", "operator"}[e]
}

// ledger is what the checks remember.
type ledger struct {
	dropped   map[string]bool // passwords that an operator took out of the record
	prepared  []string        // sealed, in their order
	abandoned int
	undone    int // commits that an overdue push made worthless: its password was made current over theirs
	acts      int
	excuse    Excuse // that holds now
	excused   uint8  // all that ever held, one bit each
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

// check is the invariant, after every step.
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

// beingAdded reports whether no password was ever named current.
func (w *world) beingAdded() bool {
	return w.vault.vacant() || w.scenario.Vacant && !w.vault.gone && w.vault.restorable()["password"] == nil
}

// checkWrite looks at a process's write as it lands.
func (w *world) checkWrite(by string, former, fields map[string]any) {
	for _, name := range []string{"note", "created_at", "ticket", "username", "webmail_url"} {
		if former != nil && former[name] != fields[name] {
			w.violate("%s changes the field %s of others", by, name)
		}
	}
	if fields["password"] != former["password"] && w.open(fields) == w.mailu.password {
		w.mailu.late, w.mailu.own = false, false // somebody saw what Mailu holds, and made it current
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

// beginsPush looks at a push as its process begins it, and reports whether it
// does so under a live claim.
func (w *world) beginsPush(p *process, password string) bool {
	if w.holdsClaim(p.Name, password) {
		return true
	}
	if w.ledger.acts == 0 { // else the claim may have gone with the record
		w.violate("%s begins a push without a live claim", p.Name)
	}
	return false
}

// held are the passwords of a record: current, then pending.
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

// open opens what Vault holds, with nothing but what Vault holds.
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

package simulation

import (
	"errors"
	"time"

	"mailu-rotator/rotator"
)

// effect executes a request and returns the answer for its process.
func (w *world) effect(by string, r request) answer {
	switch r.call {
	case Read:
		return w.read()
	case Write:
		return w.write(by, r.doc)
	case Knows:
		if w.mailu.password == "" {
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrRefused)}
		}
	case Set:
		if w.mailu.password == "" {
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrRefused)}
		}
		return w.set(by, r)
	case Create:
		if w.mailu.password != "" {
			return answer{err: errors.Join(rotator.ErrNotCreated, rotator.ErrRefused)}
		}
		return w.set(by, r)
	case Proof:
		if w.mailu.password == "" {
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)}
		}
		if w.mailu.password == r.password {
			return answer{proof: rotator.Match}
		}
		return answer{proof: rotator.Mismatch}
	}
	return answer{}
}

func (w *world) read() answer {
	fields := w.vault.fields()
	if fields == nil {
		return answer{err: rotator.ErrAbsent}
	}
	newest := w.vault.versions[len(w.vault.versions)-1]
	return answer{doc: rotator.Document{Version: w.vault.newest(), Fields: copyOf(fields)}, digest: newest.digest}
}

// write takes effect if the version is the newest. A soft delete keeps the version's
// number, so a write prepared before it restores the record. Without its metadata a
// record is new, and the policy does not let a rotator create one.
func (w *world) write(by string, doc rotator.Document) answer {
	switch {
	case w.vault.gone:
		return answer{err: rotator.ErrForbidden}
	case doc.Version != w.vault.newest():
		return answer{err: rotator.ErrConflict}
	}
	former := w.vault.restorable()
	w.checkWrite(by, former, doc.Fields)
	return answer{version: w.put(by, doc.Fields)}
}

// set is idempotent, and the last one wins.
func (w *world) set(by string, r request) answer {
	w.mailu = mailbox{password: r.password, late: r.live && !w.holdsClaim(by, r.password), by: by}
	return answer{}
}

// holdsClaim reports whether the record has the password pending under a valid claim of
// by.
func (w *world) holdsClaim(by, password string) bool {
	pending, found := pendingOf(w.vault.restorable())
	if !found {
		return false
	}
	until, err := time.Parse(time.RFC3339, text(pending, "claimed_until"))
	return err == nil && text(pending, "owner") == by && w.now.Before(until) && w.open(pending) == password
}

func pendingOf(fields map[string]any) (map[string]any, bool) {
	pending, found := fields["pending"].(map[string]any)
	return pending, found
}

func text(fields map[string]any, name string) string {
	s, _ := fields[name].(string)
	return s
}

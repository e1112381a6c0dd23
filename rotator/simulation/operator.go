package simulation

import (
	"maps"
	"time"
)

// Act is one act of an operator, by hand and without check-and-set.
type Act uint8

// The acts.
const (
	EditsField      Act = iota // `vault kv patch` of a field that is not ours
	RestoresFirst              // `vault kv put` of a copy from the start: pending is gone
	RestoresFormer             // `vault kv rollback` to the version before the newest
	PutsIntoVault              // a new password, the whole record written: pending is gone
	EditsIntoVault             // a new password as current, pending kept
	PutsIntoMailu              // the operator's password, only in Mailu
	SoftlyDeletes              // `vault kv delete`
	Undeletes                  // `vault kv undelete`
	DeletesMetadata            // `vault kv metadata delete`
)

const operators = "the operator's"

func (a Act) String() string {
	return [...]string{
		"edits another field", "puts the first copy back", "rolls back by one version", "puts a new password into Vault",
		"edits a new password into Vault", "sets a new password in Mailu", "deletes the newest version",
		"undeletes it", "deletes the metadata",
	}[a]
}

// destructive reports whether the act can make Vault and Mailu differ, which is then
// not the protocol's fault.
func (a Act) destructive() bool { return a != EditsField }

func (w *world) operate(a Act) {
	newest := w.vault.restorable()
	switch {
	case a == PutsIntoMailu:
		w.mailu = mailbox{password: operators, own: true}
	case newest == nil: // there is nothing to change
	case a == EditsField:
		if w.vault.fields() != nil {
			w.overwrite(edited(newest, "ticket", "OPS-1"))
		}
	case a == RestoresFirst:
		w.overwrite(w.vault.versions[0].fields)
	case a == RestoresFormer:
		w.overwrite(w.vault.versions[max(0, len(w.vault.versions)-2)].fields)
	case a == PutsIntoVault:
		fields := maps.Clone(newest)
		delete(fields, "pending")
		w.overwrite(w.withOperators(fields))
	case a == EditsIntoVault:
		w.overwrite(w.withOperators(maps.Clone(newest)))
	case a == SoftlyDeletes:
		w.vault.versions[len(w.vault.versions)-1].deleted = true
	case a == Undeletes:
		w.vault.versions[len(w.vault.versions)-1].deleted = false
	case a == DeletesMetadata:
		w.vault.gone = true
	}
	w.ledger.acts++
}

func (w *world) withOperators(fields map[string]any) map[string]any {
	w.seal(fields, "operator", w.now.Format(time.RFC3339Nano), operators)
	return fields
}

// overwrite writes a version without check-and-set. The passwords that it removes from
// the record may be missing from then on.
func (w *world) overwrite(fields map[string]any) {
	w.ledger.drop(w.held(w.vault.restorable())...)
	w.ledger.keep(w.held(fields)...)
	w.put("the operator", fields)
}

func edited(fields map[string]any, name, value string) map[string]any {
	fields = maps.Clone(fields)
	fields[name] = value
	return fields
}

package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Two commands may add one user under two ids, and check-and-set does not order writes
// to two records (docs/architecture.md). So an addition is open when its record is
// written: nothing is pushed for it yet. Its process then reads the fleet once more; of
// two, at least the later one sees the other, and one rule tells both which record loses.
// That one is withdrawn, and the other one admitted, by check-and-set on the open version:
// only one of these writes succeeds. An admitted record is never withdrawn.

// fieldWithdrawn replaces all other fields of this program in a withdrawn record. Such
// a record names no user. It must stay, because a write of its first version may still
// be in transit, which check-and-set refuses as long as there is a version.
const fieldWithdrawn = "withdrawn"

// errNotAlone: another record names the user, and neither can be withdrawn.
var errNotAlone = errors.New("nothing was pushed, since another tenant has this user by now")

// withdrawnError is the [ErrAbsent] of a withdrawn record.
type withdrawnError struct{ winner string }

func (e *withdrawnError) Error() string {
	if e.winner == removal {
		return "withdrawn: its removal has not ended: run mailu-rotator tenant remove once more"
	}
	return fmt.Sprintf("withdrawn: %.500s; nothing was pushed for this record: remove what is left of it (`vault kv metadata delete`)", e.winner)
}

func (*withdrawnError) Unwrap() error { return ErrAbsent }

// withdrawal returns the error of a withdrawn record; nil for any other.
func withdrawal(fields map[string]any) *withdrawnError {
	winner, _ := fields[fieldWithdrawn].(string)
	if winner == "" || fields[FieldUsername] != nil || fields[fieldPassword] != nil || fields[fieldPending] != nil {
		return nil
	}
	return &withdrawnError{winner}
}

// IsWithdrawn reports whether an error is that of a withdrawn record.
func IsWithdrawn(err error) bool {
	_, is := errors.AsType[*withdrawnError](err)
	return is
}

// open reports whether the tenant is being added and not admitted yet.
func (c Credential) open() bool { return c.BeingAdded() && c.Pending != nil && !c.Pending.Admitted }

// Contenders returns the records of one user that no other one of them beats. If there
// is more than one, they are duplicates.
func Contenders(same []Candidate) []Candidate {
	var all []Candidate
	for _, c := range same {
		if beatenBy(c.Credential.open(), c.Name, same) == nil {
			all = append(all, c)
		}
	}
	return all
}

// beatenBy returns the record of the same user to which an open record with this id
// loses: one that is not open, or else the one with the smallest id, if that is
// smaller; nil without such a record.
func beatenBy(open bool, id string, others []Candidate) (winner *Candidate) {
	if !open {
		return nil
	}
	for i, c := range others {
		if !c.Open() {
			return &others[i]
		}
		if c.Name < id && (winner == nil || c.Name < winner.Name) {
			winner = &others[i]
		}
	}
	return winner
}

// admit ensures that no other tenant has the user of a tenant that is being added.
func (r *rotation) admit(ctx context.Context) error {
	if !r.cred.open() {
		return nil
	}
	if r.Rivals != nil {
		if err := r.outdo(ctx); err != nil {
			return err
		}
	}
	return r.takeOver(ctx)
}

// outdo withdraws the records that lose to this one, or this one.
func (r *rotation) outdo(ctx context.Context) error {
	for range maxRebases {
		rivals, err := r.Rivals(ctx, r.cred)
		if err != nil {
			return err
		}
		if winner := beatenBy(true, string(r.cred.Tenant), rivals); winner != nil {
			return r.giveUp(ctx, *winner)
		}
		me := Candidate{Name: string(r.cred.Tenant), Credential: r.cred}
		for _, rival := range rivals {
			err = errors.Join(err, r.withdraw(ctx, rival.Credential, me))
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return &storeError{fmt.Errorf("%w: the records of the same user change all the time; the next run goes on", ErrConflict)}
}

// giveUp withdraws the record of this addition while it is open.
func (r *rotation) giveUp(ctx context.Context, winner Candidate) error {
	for range maxRebases {
		err := r.withdraw(ctx, r.cred, winner)
		if err == nil {
			return &withdrawnError{possession(winner)}
		}
		if isAny(err, ErrForbidden, ErrAbsent) {
			return err
		}
		if err := r.reread(ctx, err); err != nil {
			return err
		}
		switch {
		case !r.cred.holdsPending(r.next):
			return errOvertaken
		case !r.cred.open():
			return fmt.Errorf("%w, tenant %s: remove one of the two records (`vault kv metadata delete`)", errNotAlone, winner.Name)
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
	return &storeError{fmt.Errorf("%w %d times in a row; the next run goes on", ErrConflict, maxRebases)}
}

// withdraw removes an open record from the fleet, if it has not changed since it was read.
// The history keeps its pending password, which was never pushed.
func (r *rotation) withdraw(ctx context.Context, c Credential, winner Candidate) error {
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	if _, err := r.Store.Write(ctx, c.Tenant, Document{Version: c.Version, Fields: c.withdrawn(possession(winner))}); err != nil {
		return &storeError{fmt.Errorf("withdraw tenant %s: %w", c.Tenant, err)}
	}
	r.Observe.Notify(Event{Name: AdditionWithdrawn, Tenant: string(c.Tenant), User: c.Username, Origin: c.Origin, Err: errors.New(possession(winner))})
	return nil
}

// removal is in a record whose tenant is being removed.
const removal = "the tenant is being removed"

// Withdraw takes a tenant out of the fleet, if its record has not changed since it was
// read: otherwise [ErrConflict]. A deletion is not check-and-set, so without this write a
// run that has read the record could still prepare a rotation, and push a password that
// the deletion then takes out of Vault. Its prepare now fails.
func Withdraw(ctx context.Context, store Store, c Credential) error {
	ctx, cancel := context.WithTimeout(ctx, StoreDeadline)
	defer cancel()
	_, err := store.Write(ctx, c.Tenant, Document{Version: c.Version, Fields: c.withdrawn(removal)})
	return err
}

// withdrawn is the record's content without the fields of this program.
func (c Credential) withdrawn(why string) map[string]any {
	fields := maps.Clone(c.fields)
	for _, name := range ownFields {
		delete(fields, name)
	}
	fields[fieldWithdrawn] = why
	return fields
}

func possession(c Candidate) string {
	return fmt.Sprintf("tenant %s has the user %s", c.Name, c.Credential.Username)
}

package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Two commands may add one user under two ids, and check-and-set does not order writes
// to two records. So an addition is open when its record is written: nothing is pushed
// for it yet. Its process then reads the fleet once more. Of two processes that do so
// at least the later one sees the other record, and the same rule tells both of them
// which record loses. Either process withdraws the losing record by check-and-set; the
// process that sees no other record sets [Pending].Admitted in its own by
// check-and-set. Only one of these two writes succeeds. An admitted record may have
// been pushed, and is never withdrawn.

// fieldWithdrawn replaces all other fields of this program in a withdrawn record. Such
// a record names no user. It must stay, because a write of its first version may still
// be in transit, which check-and-set refuses as long as there is a version.
const fieldWithdrawn = "withdrawn"

// errNotAlone: another record names the user, and neither can be withdrawn.
var errNotAlone = errors.New("nothing was pushed, since another tenant has this user by now")

// withdrawnError is the [ErrAbsent] of a withdrawn record.
type withdrawnError struct{ winner string }

func (e *withdrawnError) Error() string {
	return fmt.Sprintf("withdrawn: %.500s; nothing was pushed for this record: remove what is left of it (`vault kv metadata delete`)", e.winner)
}

func (*withdrawnError) Unwrap() error { return ErrAbsent }

// withdrawal returns the error of a withdrawn record; nil for any other.
func withdrawal(fields map[string]any) *withdrawnError {
	winner, _ := fields[fieldWithdrawn].(string)
	if winner == "" || fields[fieldUsername] != nil || fields[fieldPassword] != nil || fields[fieldPending] != nil {
		return nil
	}
	return &withdrawnError{winner}
}

func withdrawnBy(err error) *withdrawnError {
	var withdrawn *withdrawnError
	errors.As(err, &withdrawn)
	return withdrawn
}

func isWithdrawn(err error) bool { return withdrawnBy(err) != nil }

// open reports whether the tenant is being added and not admitted yet.
func (c Credential) open() bool { return c.BeingAdded() && c.Pending != nil && !c.Pending.Admitted }

// open returns false for a record that cannot be parsed: it may be anything.
func (c Candidate) open() bool { return c.Err == nil && c.Credential.open() }

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
		if !c.open() {
			return &others[i]
		}
		if c.Name < id && (winner == nil || c.Name < winner.Name) {
			winner = &others[i]
		}
	}
	return winner
}

// admit ensures that no other tenant has the user of a tenant that is being added.
// After an error nothing was pushed.
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
		if errors.Is(err, ErrForbidden) || errors.Is(err, ErrAbsent) {
			return err
		}
		if readErr := r.reread(ctx); isWithdrawn(readErr) {
			return readErr
		} else if readErr != nil {
			return errors.Join(err, readErr)
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

// withdraw removes an open record from the fleet, if it has not changed since it was
// read. Its pending password, which was never pushed, stays in the history. The fields
// of others stay.
func (r *rotation) withdraw(ctx context.Context, c Credential, winner Candidate) error {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	fields := maps.Clone(c.fields)
	for _, name := range ownFields {
		delete(fields, name)
	}
	fields[fieldWithdrawn] = possession(winner)
	if _, err := r.Store.Write(ctx, c.Tenant, Document{Version: c.Version, Fields: fields}); err != nil {
		return &storeError{fmt.Errorf("withdraw tenant %s: %w", c.Tenant, err)}
	}
	r.Observe.observe(Event{Name: AdditionWithdrawn, Tenant: string(c.Tenant), Origin: c.Origin, Err: errors.New(possession(winner))})
	return nil
}

func possession(c Candidate) string {
	return fmt.Sprintf("tenant %s has the user %s", c.Name, c.Credential.Username)
}

// settledUsers are the users of the records under which no process is adding a tenant.
// Such a record keeps its user, so it is not read again for other users.
type settledUsers struct {
	mu     sync.Mutex        // guards byName
	byName map[string]string // the [userKey]; "": it names no user
}

func (s *settledUsers) add(c Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[c.Name] = userKey(c)
}

// exclude reports whether the record of that name is known not to name the user.
func (s *settledUsers) exclude(name, user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	settled, found := s.byName[name]
	return found && settled != user
}

// namesakes returns the search of a run for the records that name a user. It reads each
// record that is not in the fleet until it is settled. A record that cannot be read may
// name any user.
func (r *run) namesakes(fleet []Candidate) func(context.Context, Credential) ([]Candidate, error) {
	users := &settledUsers{byName: make(map[string]string, len(fleet))}
	for _, c := range fleet {
		if !c.open() {
			users.add(c)
		}
	}
	return func(ctx context.Context, mine Credential) ([]Candidate, error) {
		user := userKey(Candidate{Credential: mine, API: r.Mailu.API(mine.Origin)})
		var possible []string
		err := r.listFleet(ctx, func(name string) {
			if name != string(mine.Tenant) && !users.exclude(name, user) {
				possible = append(possible, name)
			}
		})
		if err != nil {
			return nil, &storeError{err}
		}
		read := make([]Candidate, len(possible))
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(max(r.Workers, 1))
		for i, name := range possible {
			group.Go(func() error {
				c := r.candidate(groupCtx, name)
				if c.unread() {
					return &storeError{fmt.Errorf("tenant %s may have the same user, and its record cannot be read: %w", name, c.Err)}
				}
				if c.Err == nil && !c.open() || isWithdrawn(c.Err) {
					users.add(c)
				}
				read[i] = c
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return slices.DeleteFunc(read, func(c Candidate) bool { return userKey(c) != user }), nil
	}
}

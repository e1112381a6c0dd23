package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	// If maxUnread records cannot be read, and none can, the store has failed: these
	// are not a few bad entries.
	maxUnread = 3
	// maxUnreadInARow bounds the consecutive failed reads, after the store's own
	// retries, until the survey gives up: the store has then failed since the start.
	maxUnreadInARow = 50
)

// errNobody: a run that selects no tenant is a mistake and not a success.
var errNobody = errors.New("no tenant matches the selection: mailu-rotator status lists the tenants")

// survey is one scan of the whole fleet. A run that is restricted to some tenants reads
// the others too: one of them may have the same user. Of tenants that are not kept, it
// stores only the name and a hash of the user.
type survey struct {
	*run
	keep  func(Candidate) bool
	names names
	board *boardSurvey // nil: no board

	next atomic.Int64 // place of the next name to be read

	mu      sync.Mutex // guards the fields below
	users   *duplicates
	kept    map[int]Candidate // by their places in the list
	covered int               // by the selection
	reads   int               // successful reads
	unread  int               // consecutive failed reads
	failure error             // of the last failed read
}

// names are the names of a fleet, in the order of the list: 16 bytes for a tenant's.
type names struct {
	ids    []uuid
	others map[int]string // by place: names that are not the usual spelling of an id
}

func (n *names) add(name string) {
	id, ok := parseUUID(name)
	if !ok {
		if n.others == nil {
			n.others = map[int]string{}
		}
		n.others[len(n.ids)] = name
	}
	n.ids = append(n.ids, id)
}

func (n *names) at(place int) string {
	if name, found := n.others[place]; found {
		return name
	}
	return n.ids[place].String()
}

// everything keeps all candidates.
func everything(Candidate) bool { return true }

// survey lists the tenants, reads all of them, and returns those of the selection that
// keep accepts, in the order of the list. It calls keep for one tenant at a time.
// Tenants that share a user are always returned, whatever keep and the selection say. A
// list that breaks off ends the survey: half a fleet shows neither which users are
// shared nor which tenant is the oldest. A record that the store does not return is a
// candidate with an error, and the others continue: only a failed store ends the
// survey.
func (r *run) survey(ctx context.Context, keep func(Candidate) bool) ([]Candidate, error) {
	candidates, _, err := r.surveyUsers(ctx, keep)
	return candidates, err
}

// surveyUsers also returns the users of the whole fleet.
func (r *run) surveyUsers(ctx context.Context, keep func(Candidate) bool) ([]Candidate, *duplicates, error) {
	s := &survey{run: r, keep: keep, kept: map[int]Candidate{}}
	if err := r.list(ctx, s.names.add); err != nil {
		return nil, nil, err
	}
	s.users = newDuplicates(len(s.names.ids))
	if r.Board != nil && len(r.sel.Tenants) == 0 {
		s.board = r.Board.survey()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for range max(r.Workers, 1) {
		group.Go(func() error { return s.work(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.reads == 0 && (s.unread >= maxUnread || errors.Is(s.failure, ErrUnavailable)) {
		return nil, nil, unreadRecords(s.failure)
	}
	if err := s.settleRivals(ctx); err != nil {
		return nil, nil, err
	}
	if s.covered == 0 {
		return nil, nil, errNobody
	}
	return s.inOrder(), s.users, nil
}

// list adds the names of the fleet, and those of requested tenants that are not in it:
// reading them shows why.
func (r *run) list(ctx context.Context, add func(string)) error {
	missing := slices.Clone(r.sel.Tenants)
	seen := func(name string) {
		add(name)
		missing = slices.DeleteFunc(missing, func(t TenantID) bool { return string(t) == name })
	}
	if r.alone {
		missing = r.sel.Tenants
	} else if err := r.listFleet(ctx, seen); err != nil && (len(missing) == 0 || !errors.Is(err, ErrNoTenants)) {
		return err
	}
	for _, tenant := range missing {
		add(string(tenant))
	}
	return nil
}

func (r *run) listFleet(ctx context.Context, add func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	none := true
	for name, err := range r.Store.List(ctx) {
		if err != nil {
			return fmt.Errorf("list tenants: %w", err)
		}
		none = false
		add(name)
	}
	if none {
		return fmt.Errorf("list tenants: %w: an empty prefix is never taken for a fleet without tenants", ErrNoTenants)
	}
	return nil
}

// work reads until all names are taken.
func (s *survey) work(ctx context.Context) error {
	for {
		place := int(s.next.Add(1)) - 1
		if place >= len(s.names.ids) {
			return nil
		}
		before := s.succeeded()
		c := s.candidate(ctx, s.names.at(place))
		if ctx.Err() != nil {
			return nil // the survey has failed: the result of this read says nothing about the record
		}
		if err := s.take(place, c, before); err != nil {
			return err
		}
	}
}

func (s *survey) succeeded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// take adds a candidate. before is how many reads had succeeded when its own started.
func (s *survey) take(place int, c Candidate, before int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.count(c, before); err != nil {
		return unreadRecords(err)
	}
	covered := s.sel.covers(c)
	if covered {
		s.covered++
	}
	s.users.note(place, c)
	if s.board != nil {
		s.board.note(StatusOf(s.clock.Now(), c, 1), c.unread())
	}
	if covered && s.keep(c) {
		s.kept[place] = c
	}
	return nil
}

// count distinguishes a record that the store does not return from a failed store,
// whose error it returns. The caller holds the lock.
func (s *survey) count(c Candidate, before int) error {
	switch {
	case c.Ignored && c.Err == nil: // not read
	case !c.transient():
		s.reads++
		s.unread = 0
	default:
		s.unread++
		s.failure = c.Err
		nothing := s.unread >= maxUnread && s.reads == before && errors.Is(c.Err, ErrUnavailable)
		if nothing || s.unread >= maxUnreadInARow {
			return c.Err
		}
	}
	return nil
}

func unreadRecords(err error) error { return fmt.Errorf("read the tenants' records: %w", err) }

// settleRivals keeps the tenants that may share a user, and reads those again that were
// not kept.
func (s *survey) settleRivals(ctx context.Context) error {
	places := s.users.places()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(s.Workers, 1))
	for _, place := range places {
		group.Go(func() error {
			s.again(groupCtx, place)
			return groupCtx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.doubt(places)
	if s.board == nil {
		return nil
	}
	var together []Candidate
	for _, place := range places {
		if c := s.kept[place]; !c.unread() || c.Credential.Origin != "" { // for the others the board has more data
			together = append(together, c)
		}
	}
	s.board.end(statuses(s.clock.Now(), together))
	return nil
}

func (s *survey) again(ctx context.Context, place int) {
	s.mu.Lock()
	_, known := s.kept[place]
	s.mu.Unlock()
	if known {
		return
	}
	c := s.candidate(ctx, s.names.at(place))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[place] = c
}

// doubt excludes tenants from the run that may share the user of a tenant whose record
// the store returned once and then not again.
func (s *survey) doubt(places []int) {
	for _, place := range places {
		lost := s.kept[place]
		if !lost.unread() {
			continue
		}
		for _, other := range places {
			c := s.kept[other]
			if c.Err == nil && s.users.hashes[other] == s.users.hashes[place] {
				c.Err = fmt.Errorf("tenant %s may have the same user, and its record cannot be read any more: %w", lost.Name, lost.Err)
				s.kept[other] = c
			}
		}
	}
}

func (s *survey) inOrder() []Candidate {
	candidates := make([]Candidate, 0, len(s.kept))
	for _, place := range slices.Sorted(maps.Keys(s.kept)) {
		candidates = append(candidates, s.kept[place])
	}
	return candidates
}

func (r *run) candidate(ctx context.Context, name string) Candidate {
	c := ReadCandidate(ctx, r.Store, r.Mailu, r.DefaultPolicy, name)
	c.Failed = r.Board.failed(name)
	return c
}

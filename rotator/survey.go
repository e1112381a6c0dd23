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

// maxUnread bounds how many reads may fail in a row, each with the store's own
// patience behind it, until the survey gives up: then it is not the records.
const maxUnread = 3

// errNobody: a run for nobody is a mistake and not a success.
var errNobody = errors.New("no tenant belongs to what was asked for: mailu-rotator status shows those that there are")

// survey is one reading of the tenants of a run's selection. Of a tenant that is
// not kept only the name remains, and what tells whether another one has the same
// user.
type survey struct {
	*run
	keep  func(Candidate) bool
	names *roll
	board *boardSurvey // nil: nobody wants to know

	mu      sync.Mutex // guards what follows
	users   *rivals
	kept    map[int]Candidate // by their places in the list
	covered int               // by the selection
	unread  int               // reads in a row that failed
}

// everything keeps all candidates.
func everything(Candidate) bool { return true }

// survey reads every tenant of the selection while the store still lists them, and
// returns those that keep wants, in the order of the list. keep is asked about one
// at a time, as they are read. Those that name a user of another one are returned
// whether wanted or not. A list that breaks off leaves nothing but an error: half
// of a fleet says nothing of its users, nor of who is the oldest.
func (r *run) survey(ctx context.Context, keep func(Candidate) bool) ([]Candidate, error) {
	s := &survey{run: r, keep: keep, names: newRoll(), users: newRivals(), kept: map[int]Candidate{}}
	if r.Board != nil && len(r.sel.Tenants) == 0 {
		s.board = r.Board.survey()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer s.names.end()
		return r.list(groupCtx, s.names.add)
	})
	for range max(r.Workers, 1) {
		group.Go(func() error { return s.work(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.settleRivals(ctx); err != nil {
		return nil, err
	}
	if s.covered == 0 {
		return nil, errNobody
	}
	return s.inOrder(), nil
}

// list adds the names of the fleet, or of the tenants that the run was asked for.
func (r *run) list(ctx context.Context, add func(string)) error {
	if len(r.sel.Tenants) > 0 {
		for _, tenant := range r.sel.Tenants {
			add(string(tenant))
		}
		return nil
	}
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

// work reads as long as there are names.
func (s *survey) work(ctx context.Context) error {
	for {
		place, name, ok := s.names.next(ctx)
		if !ok {
			return nil
		}
		c := s.candidate(ctx, name)
		if ctx.Err() != nil {
			return nil // the survey has failed: what became of this read says nothing of the record
		}
		if err := s.take(place, c); err != nil {
			return err
		}
	}
}

func (s *survey) take(place int, c Candidate) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread++
	if !c.transient() {
		s.unread = 0
	}
	if s.unread >= maxUnread {
		return fmt.Errorf("read the tenants' records: %w", c.Err)
	}
	if s.sel.covers(c) {
		s.covered++
	}
	s.users.note(place, c)
	if s.board != nil {
		s.board.note(StatusOf(s.clock.Now(), c, 1))
	}
	if s.keep(c) {
		s.kept[place] = c
	}
	return nil
}

// settleRivals keeps the tenants that may share a user. Those that were not kept
// are read once more.
func (s *survey) settleRivals(ctx context.Context) error {
	places := s.users.found()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(s.Workers, 1))
	for _, place := range places {
		group.Go(func() error { return s.again(groupCtx, place) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if s.board == nil {
		return nil
	}
	together := make([]Candidate, len(places))
	for i, place := range places {
		together[i] = s.kept[place]
	}
	s.board.end(statuses(s.clock.Now(), together))
	return nil
}

func (s *survey) again(ctx context.Context, place int) error {
	s.mu.Lock()
	_, known := s.kept[place]
	s.mu.Unlock()
	if known {
		return nil
	}
	c := s.candidate(ctx, s.names.name(place))
	if c.transient() {
		return fmt.Errorf("read the tenants' records: %w", c.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[place] = c
	return nil
}

func (s *survey) inOrder() []Candidate {
	candidates := make([]Candidate, 0, len(s.kept))
	for _, place := range slices.Sorted(maps.Keys(s.kept)) {
		candidates = append(candidates, s.kept[place])
	}
	return candidates
}

func (r *run) candidate(ctx context.Context, name string) Candidate {
	c := Candidate{Name: name}
	tenant, err := ParseTenantID(name)
	if err != nil {
		c.Foreign = true
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	doc, err := r.Store.Read(ctx, tenant)
	if err != nil {
		c.Credential.Tenant, c.Err = tenant, err
		return c
	}
	c.Credential, c.Err = ParseCredential(tenant, doc, r.DefaultPolicy)
	_, c.Unlisted = r.Mailu.Server(c.Credential.Origin)
	return c
}

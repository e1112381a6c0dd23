package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// stories collects the events of each tenant.
func (s *stage) stories(ctx context.Context) ([]story, error) {
	all := make([]story, len(s.tenants))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.NumCPU()) // half of them wait for Vault
	for i, t := range s.tenants {
		group.Go(func() (err error) {
			all[i], err = s.story(ctx, t)
			return err
		})
	}
	return all, group.Wait()
}

func (s *stage) story(ctx context.Context, t *tenant) (story, error) {
	t.mu.Lock() // uncontended: the processes have ended
	defer t.mu.Unlock()
	named := names{}
	told := story{tenant: t.id, held: named.of(t.held), edits: t.edits, notes: t.notes, shown: t.mailu.Shown(t.user)}
	newest, err := s.eyes.read(ctx, t.id, 0)
	if err != nil {
		return told, err
	}
	if t.expires {
		if err := s.eyes.undelete(ctx, t.id, upTo(newest.version)...); err != nil {
			return told, fmt.Errorf("undelete the history of %s: %w", t.id, err)
		}
	}
	for _, n := range upTo(newest.version) {
		rec, err := s.eyes.read(ctx, t.id, n)
		if err != nil {
			return told, fmt.Errorf("history of %s: %w", t.id, err)
		}
		told.versions = append(told.versions, rec.told(named))
	}
	for _, x := range t.mailu.Sets(t.user) {
		told.sets = append(told.sets, set{x.Time, named.of(x.Password)})
	}
	for _, e := range t.excuses {
		e.password = named.of(e.password)
		told.excuses = append(told.excuses, e)
	}
	return told, nil
}

// upTo returns the version numbers up to this one.
func upTo(newest int) []int {
	all := make([]int, newest)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func (r record) told(named names) version {
	v := version{number: r.version, at: r.created, current: named.of(r.current), pending: named.of(r.pending), others: others(r.fields)}
	if r.current == unreadable {
		v.current = unreadable
	}
	if r.pending == unreadable {
		v.pending = unreadable
	}
	v.createdAt, _ = r.fields["created_at"].(string)
	v.mark, _ = r.fields["operator"].(string)
	if pending, isMap := r.fields["pending"].(map[string]any); isMap {
		v.owner, _ = pending["owner"].(string)
		until, _ := pending["claimed_until"].(string)
		v.until, _ = time.Parse(time.RFC3339, until)
	}
	return v
}

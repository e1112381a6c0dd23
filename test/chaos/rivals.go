package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// rivalry is a period in which Vault certainly has a second record for a tenant's user.
type rivalry struct {
	from, to time.Time // to is zero while it lasts
}

// pushSeen is a push as the proxies saw it, and the time of its process's last list
// request.
type pushSeen struct {
	at, listed time.Time
	by         string
}

// breaks reports whether the push's run could have known about the second record.
func (r rivalry) breaks(p pushSeen) bool {
	return !p.listed.Before(r.from) && p.at.After(r.from) && (r.to.IsZero() || p.at.Before(r.to))
}

// The kinds of a second record, and the counter of the lists that contain it.
const (
	otherSpelling = "second record, another spelling"
	otherOrigin   = "second record, another origin"
	listsWithBoth = "lists with both records"
)

// rivals repeatedly adds a second record for a user, and removes it.
func (s *stage) rivals(ctx context.Context, rng *rand.Rand) error {
	for n := 0; ; {
		s.breathe(ctx, rng, 2*time.Second)
		if ctx.Err() != nil {
			return nil
		}
		t := s.tenants[rng.IntN(len(s.tenants))]
		if t.expires {
			continue // one of the records is deleted, so the other one has the user alone
		}
		n++
		kind := []string{otherSpelling, otherOrigin}[n%2]
		id := fmt.Sprintf("%08x-5eed-4000-8000-%012x", 0xb0000000+n, n)
		fields, err := s.rivalOf(t, id, kind)
		if err != nil {
			return err
		}
		if s.eyes.write(ctx, id, 0, fields) == nil {
			s.tally.add("rivals", kind)
			t.rivalAppears()
			s.rivalries.Add(1)
			pause(ctx, between(rng, 2*time.Second, 6*time.Second))
			s.rivalries.Add(-1)
			t.rivalGoes()
		}
		// A write that failed may still have had its effect.
		if err := s.remove(context.WithoutCancel(ctx), id); err != nil {
			return fmt.Errorf("remove the second record of %s: %w", t.id, err)
		}
	}
}

func (s *stage) rivalOf(t *tenant, id, kind string) (map[string]any, error) {
	born := s.began.AddDate(-1, 0, 0).UTC().Format(time.RFC3339)
	fields, err := s.eyes.seal(id, "a password that mailu never had, of "+id, born)
	if err != nil {
		return nil, err
	}
	user, origin := t.user, s.aliases[t.mailu]
	if kind == otherSpelling {
		user, origin = strings.ToUpper(t.user), t.mailu.Origin()
	}
	fields["username"], fields["webmail_url"] = user, origin+"/webmail"
	fields["created_at"], fields["rotation_policy"] = born, "1_days"
	fields["customer_number"] = json.Number("7")
	return fields, nil
}

// remove deletes a record permanently, once Vault is up.
func (s *stage) remove(ctx context.Context, id string) (err error) {
	for range 100 {
		if err = s.eyes.kv.DeleteMetadata(ctx, s.eyes.layout.Path(id)); err == nil {
			return nil
		}
		pause(ctx, 300*time.Millisecond)
	}
	return errors.Join(errors.New("vault does not take it"), err)
}

func (t *tenant) rivalAppears() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.rivals = append(t.rivals, rivalry{from: now})
	t.notes = append(t.notes, note{now, "chaos  a second record is there"})
}

func (t *tenant) rivalGoes() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.rivals[len(t.rivals)-1].to = now
	t.notes = append(t.notes, note{now, "chaos  the second record goes"})
}

func (t *tenant) pushed(p pushSeen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pushes = append(t.pushes, p)
}

// watchRivals records the events by which a rivalry is judged.
func (s *stage) watchRivals(of *process, m sighting) {
	now := time.Now()
	switch m.step {
	case list:
		of.listed.Store(&now)
		if s.rivalries.Load() > 0 {
			s.tally.add("rivals", listsWithBoth)
		}
	case push:
		if t, listed := s.byID[m.tenant], of.listed.Load(); t != nil && listed != nil {
			t.pushed(pushSeen{at: now, listed: *listed, by: of.name})
		}
	}
}

// judgeRivals finds the pushes for a user of two records.
func (s *stage) judgeRivals() (findings []finding) {
	for _, t := range s.tenants {
		findings = append(findings, t.judgeRivals()...)
	}
	return findings
}

func (t *tenant) judgeRivals() (findings []finding) {
	t.mu.Lock() // a proxy may still record a request of a process that was killed
	defer t.mu.Unlock()
	for _, r := range t.rivals {
		for _, p := range t.pushes {
			if r.breaks(p) {
				what := fmt.Sprintf("%s pushed although a second record was there since %s, before its run listed the tenants at %s",
					p.by, clockTime(r.from), clockTime(p.listed))
				findings = append(findings, finding{tenant: t.id, at: p.at, what: what})
			}
		}
	}
	return findings
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05.000") }

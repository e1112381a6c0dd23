package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// history is everything that happened to one tenant, from reliable sources: every version
// that Vault stored, every password that Mailu set, every hash that it showed.
// Passwords are named p1 and so on, in the order of their appearance. Times are exact
// enough to order dependent events: a version's time is taken before the version can be
// read, a set's when it can be.
type history struct {
	tenant   string
	held     string // the initial password in Mailu
	versions []version
	sets     []set
	shown    []time.Time
	edits    map[string]edit // written by this run's operator, by mark
	excuses  []excuse
	notes    []note
}

// version is one version of a record, with its passwords opened.
type version struct {
	number    int
	at        time.Time
	current   string
	pending   string // "" if none
	owner     string // of the claim, with
	until     time.Time
	createdAt string
	others    string    // the fields of others, in a canonical form
	rotated   time.Time // when the current password was made
	policy    string
	mark      string // of the last edit
}

type set struct {
	at       time.Time
	password string
}

// edit is a write by the operator, who changes fields of others and ages passwords by
// sealing them again.
type edit struct {
	onto   int // the version that it replaced
	others string
}

// excuse covers what no protocol can prevent, because the run itself did it: a push
// whose effect came after its claim had expired. Nothing else is excused.
type excuse struct {
	from, to time.Time // when the effect came
	password string
}

// note is something that this run did to one of the tenant's requests.
type note struct {
	at   time.Time
	text string
}

// moment is an entry of the timeline: one of the four.
type moment struct {
	at      time.Time
	version *version
	set     *set
	shown   bool
	note    string
}

func (s *history) timeline() []moment {
	var all []moment
	for i := range s.versions {
		all = append(all, moment{at: s.versions[i].at, version: &s.versions[i]})
	}
	for i := range s.sets {
		all = append(all, moment{at: s.sets[i].at, set: &s.sets[i]})
	}
	for _, at := range s.shown {
		all = append(all, moment{at: at, shown: true})
	}
	for _, n := range s.notes {
		all = append(all, moment{at: n.at, note: n.text})
	}
	slices.SortStableFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	return all
}

func (m moment) String() string {
	what := m.note
	switch {
	case m.version != nil:
		what = "vault  " + m.version.String()
	case m.set != nil:
		what = "mailu  set " + m.set.password
	case m.shown:
		what = "mailu  showed its hash"
	}
	return m.at.UTC().Format("15:04:05.000000") + "  " + what
}

func (v version) String() string {
	text := fmt.Sprintf("version %d: current %s", v.number, v.current)
	if v.pending != "" {
		text += fmt.Sprintf(", pending %s claimed by %s until %s", v.pending, v.owner, v.until.UTC().Format("15:04:05.000"))
	}
	return text
}

// unreadable is the name of a password that does not open.
const unreadable = "unreadable"

// names gives passwords names, so that findings can be printed.
type names map[string]string

func (n names) of(password string) string {
	if password == "" {
		return ""
	}
	if _, known := n[password]; !known {
		n[password] = fmt.Sprintf("p%d", len(n)+1)
	}
	return n[password]
}

// nearby returns the moments near index i, for a finding.
func nearby(all []moment, i int) []moment {
	const before, after = 12, 6
	return all[max(i-before, 0):min(i+after+1, len(all))]
}

func (e excuse) covers(s set) bool {
	return e.password == s.password && !s.at.Before(e.from) && !s.at.After(e.to)
}

// histories collects the events of each tenant.
func (s *stage) histories(ctx context.Context) ([]history, error) {
	all := make([]history, len(s.tenants))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.NumCPU()) // half of them wait for Vault
	for i, t := range s.tenants {
		group.Go(func() (err error) {
			all[i], err = s.history(ctx, t)
			return err
		})
	}
	return all, group.Wait()
}

func (s *stage) history(ctx context.Context, t *tenant) (history, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	named := names{}
	h := history{tenant: t.id, held: named.of(t.held), edits: t.edits, notes: t.notes, shown: t.mailu.Shown(t.user)}
	newest, err := s.eyes.read(ctx, t.id, 0)
	if err != nil {
		return h, err
	}
	if t.expires {
		if err := s.eyes.undelete(ctx, t.id, upTo(newest.version)...); err != nil {
			return h, fmt.Errorf("undelete the history of %s: %w", t.id, err)
		}
	}
	for _, n := range upTo(newest.version) {
		rec, err := s.eyes.read(ctx, t.id, n)
		if err != nil {
			return h, fmt.Errorf("history of %s: %w", t.id, err)
		}
		h.versions = append(h.versions, rec.named(named))
	}
	for _, x := range t.mailu.Sets(t.user) {
		h.sets = append(h.sets, set{x.Time, named.of(x.Password)})
	}
	for _, e := range t.excuses {
		e.password = named.of(e.password)
		h.excuses = append(h.excuses, e)
	}
	return h, nil
}

// upTo returns the version numbers up to this one.
func upTo(newest int) []int {
	all := make([]int, newest)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func (r record) named(named names) version {
	v := version{number: r.version, at: r.created, current: named.of(r.current), pending: named.of(r.pending), others: others(r.fields)}
	if r.current == unreadable {
		v.current = unreadable
	}
	if r.pending == unreadable {
		v.pending = unreadable
	}
	v.createdAt, _ = r.fields["created_at"].(string)
	v.mark, _ = r.fields["operator"].(string)
	v.policy, _ = r.fields["rotation_policy"].(string)
	rotated, _ := r.fields["last_rotated"].(string)
	v.rotated, _ = time.Parse(time.RFC3339, rotated)
	if pending, isMap := r.fields["pending"].(map[string]any); isMap {
		v.owner, _ = pending["owner"].(string)
		until, _ := pending["claimed_until"].(string)
		v.until, _ = time.Parse(time.RFC3339, until)
	}
	return v
}

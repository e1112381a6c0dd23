package main

import (
	"fmt"
	"slices"
	"time"
)

// story is everything that happened to one tenant, from reliable sources: every version
// that Vault stored, every password that Mailu set, every hash that it showed.
// Passwords are named p1 and so on, in the order of their appearance. Times are exact
// enough to order dependent events: a version's time is taken before the version can be
// read, a set's when it can be.
type story struct {
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
	others    string // the fields of others, in a canonical form
	mark      string // of the last edit
}

type set struct {
	at       time.Time
	password string
}

// edit is a write by the operator, who changes fields of others and ages passwords by
// sealing them again.
// passwords by sealing them anew.
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

func (s *story) timeline() []moment {
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

// around returns the moments near index i, for a finding.
func around(all []moment, i int) []moment {
	const before, after = 12, 6
	return all[max(i-before, 0):min(i+after+1, len(all))]
}

func (e excuse) covers(s set) bool {
	return e.password == s.password && !s.at.Before(e.from) && !s.at.After(e.to)
}

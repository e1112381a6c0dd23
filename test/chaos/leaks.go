package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// leaks judges where secrets may have gone: what the processes print, and what NATS
// stores.
type leaks struct {
	stores [][]byte // what NATS' store had, each time before it was emptied

	mu      sync.Mutex // guards the field below
	printed *os.File
}

func (l *leaks) open(dir string) (err error) {
	l.printed, err = os.Create(filepath.Join(dir, "printed"))
	return err
}

func (l *leaks) close() {
	if l.printed != nil {
		_ = l.printed.Close()
	}
}

// Write keeps what a process prints.
func (l *leaks) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.printed.Write(b)
}

// needles are texts that must not be somewhere, with what they are.
type needles map[string]string

// add adds a text as it is, and as JSON has it.
func (n needles) add(what, text string) {
	n[text] = what
	quoted, _ := json.Marshal(text) // never fails for a string
	n[strings.Trim(string(quoted), `"`)] = what
}

// stem is how much of a needle is looked up at once. None is shorter.
const stem = 4

// in returns what of the needles a text has.
func (n needles) in(text []byte) (found []string) {
	byStem := map[[stem]byte][]string{}
	for needle := range n {
		key := [stem]byte([]byte(needle))
		byStem[key] = append(byStem[key], needle)
	}
	known := map[string]bool{}
	for i := range len(text) - stem + 1 {
		for _, needle := range byStem[[stem]byte(text[i:])] {
			if what := n[needle]; !known[what] && strings.HasPrefix(string(text[i:min(i+len(needle), len(text))]), needle) {
				known[what] = true
				found = append(found, what)
			}
		}
	}
	return found
}

// secrets must be nowhere outside of Vault and Mailu.
func (s *stage) secrets() (needles, error) {
	all := needles{}
	s.eyes.opened.Range(func(_, password any) bool {
		if password != unreadable {
			all.add("a password", password.(string))
		}
		return true
	})
	s.eyes.sealed.Range(func(sealed, _ any) bool {
		all.add("a sealed password", sealed.(string))
		return true
	})
	for _, key := range s.eyes.master {
		all[string(key)] = "the master key"
		all.add("the master key", base64.StdEncoding.EncodeToString(key))
	}
	all.add("a Vault token", "hvs.")
	for _, name := range []string{"mailu-token", "secret-id"} {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		all.add("the contents of "+name, strings.TrimSpace(string(text)))
	}
	return all, nil
}

// judgeLeaks looks for secrets in all that was printed and stored, and in the latter for
// users and servers too.
func (s *stage) judgeLeaks() (findings []finding, err error) {
	all, err := s.secrets()
	if err != nil {
		return nil, err
	}
	find := func(place string, found []string) {
		for _, what := range found {
			findings = append(findings, finding{at: time.Now(), what: fmt.Sprintf("%s has %s", place, what)})
		}
	}
	printed, err := os.ReadFile(s.leaks.printed.Name())
	if err != nil {
		return nil, err
	}
	find("the program's output", all.in(printed))
	for _, t := range s.tenants {
		all.add("a user's address", t.user)
	}
	for _, server := range s.mailus {
		all.add("an origin", strings.TrimPrefix(server.Origin(), "http://"))
		all.add("an origin", strings.TrimPrefix(s.aliases[server], "http://"))
	}
	for _, stored := range s.leaks.stores {
		find("NATS' store", all.in(stored))
		s.tally.addN("samples", "bytes of NATS' store searched", len(stored))
	}
	return findings, nil
}

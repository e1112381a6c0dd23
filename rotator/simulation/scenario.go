package simulation

import (
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// ClaimTTL is the length of a claim.
const ClaimTTL = 5 * time.Minute

// Scenario is the input of an exploration: every order of the processes' calls, the
// operator's acts and the late effects, with every fate of every call, within the
// budgets.
type Scenario struct {
	Name      string
	Processes []Process
	Faults    int   // calls with a fate other than OK, and stalls
	Stalls    int   // of all processes, beyond their claims, in addition to Faults
	Operator  []Act // in this order, each between any two steps

	Vacant bool // there is no record at first; Mailu has the user, with its own password
	NoUser bool // with Vacant: Mailu has no such user either
	NewKey bool // the record is sealed with an older master key

	// Preemptions limits how often a process is suspended in the middle of its attempt;
	// 0 means no limit.
	Preemptions int
	// Pauses are the possible waits between two attempts; none means no wait.
	Pauses []time.Duration
	// Only restricts the fates; nil allows all.
	Only func(Call, Fate) bool

	// Bug changes a process's view of the world, to show that the checks notice it.
	Bug func(*rotator.Rotator)
	// Envelope replaces the fast one.
	Envelope rotator.Envelope
}

// Process is one process that takes the tenant through the protocol, as a sweep would:
// it reads, decides, rotates, and after a failure starts again.
type Process struct {
	Name     string
	RunNow   bool // rotates what was not rotated since its start; otherwise what is due
	Adds     bool // adds the tenant instead
	Reseals  bool // reseals its password instead
	Attempts int
	// After names a process: this one waits until the other's first attempt has ended,
	// or it died; then it pauses and starts.
	After string
}

func (s *Scenario) allows(c Call, f Fate) bool { return s.Only == nil || s.Only(c, f) }

func (s *Scenario) envelope(by string) rotator.Envelope {
	if s.Envelope != nil {
		return s.Envelope
	}
	return &envelope{by: by, newest: s.newestKey()}
}

func (s *Scenario) newestKey() crypto.KeyVersion {
	if s.NewKey {
		return firstKey + 1
	}
	return firstKey
}

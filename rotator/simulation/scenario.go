package simulation

import (
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// ClaimTTL is how long a claim stands.
const ClaimTTL = 5 * time.Minute

// Scenario is what is explored exhaustively: every order of the processes'
// calls, the operator's acts and the late effects, with every fate of every
// call, within the budgets.
type Scenario struct {
	Name      string
	Processes []Process
	Faults    int   // calls with another fate than OK, and stalls
	Stalls    int   // of all processes past their claims, beside Faults
	Operator  []Act // in this order, each between any two steps

	Vacant bool // there is no record at first; Mailu has the user, with a password of its own
	NoUser bool // beside Vacant: Mailu has no such user either
	NewKey bool // the record is sealed with a master key that is no longer the newest

	// Preemptions bounds how often a process is set aside in the middle of its
	// attempt; 0 means no bound.
	Preemptions int
	// Pauses is what a process may wait between two attempts; none means that it
	// goes on at once.
	Pauses []time.Duration
	// Only narrows the fates, nil takes all.
	Only func(Call, Fate) bool

	// Bug alters a process's view of the world, for showing that the checks see it.
	Bug func(*rotator.Rotator)
	// Envelope seals instead of the fast one.
	Envelope rotator.Envelope
}

// Process is one process that takes the tenant through the protocol, as a
// sweep would: it reads, decides, rotates, and after a failure begins again.
type Process struct {
	Name     string
	RunNow   bool // rotates what was not rotated since its start; else what is due
	Adds     bool // adds the tenant instead
	Reseals  bool // seals its password anew instead
	Attempts int
	// After is the name of a process of which this one waits for the end of the
	// first attempt, or its death; then it pauses and begins.
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

package simulation

import "mailu-rotator/rotator"

// Call names an outside call of a process.
type Call uint8

// The calls. A pause lies between two attempts of a process.
const (
	Read Call = iota
	Write
	Knows
	Set
	Proof
	Pause
	Create // of the user in Mailu
)

func (c Call) String() string {
	return [...]string{"read", "write", "knows", "set password", "proof", "pause", "create user"}[c]
}

// pushes reports whether the call may give Mailu another password.
func (c Call) pushes() bool { return c == Set || c == Create }

// request is a call with its arguments.
type request struct {
	call     Call
	doc      rotator.Document // of a write
	password string           // of a push or proof
	live     bool             // of a push: it was begun under a valid claim
}

// answer is the result of a call.
type answer struct {
	doc     rotator.Document
	digest  uint64 // of doc
	version int
	proof   rotator.Verification
	err     error
}

// Fate is the outcome of a call.
type Fate uint8

// The fates. All except OK cost one fault of the scenario.
const (
	OK             Fate = iota
	LostBefore          // no effect, no answer
	LostAfter           // the effect, no answer
	LateAnswer          // the effect; the answer comes after the claim has expired
	LateEffect          // no answer; the effect comes at some later step
	LandedConflict      // the client repeated a write whose first answer was lost
	Refused             // certainly: unknown user, bad request
	RefusedAfter        // the effect; a proxy turned the answer into a refusal
	Forbidden           // certainly: 403
	Limited             // 429, no effect
	LimitedAfter        // 429 to a repetition; the first request had its effect
	Unverifiable        // the answer proves nothing
	DiesBefore          // the process dies, the request was never sent
	DiesAfter           // the process dies, the request had its effect
	DiesWhile           // the process dies, the effect comes at some later step
	FirstPause          // and those after it: the scenario's pauses
)

func (f Fate) String() string {
	return [...]string{
		"ok", "lost before its effect", "answer lost", "answer late, past the claim", "no answer, effect later",
		"conflict, though it landed", "refused", "refused by a proxy after the effect", "forbidden", "rate-limited", "rate-limited after the effect",
		"proves nothing", "dies before it", "dies after its effect", "dies, effect later", "",
	}[min(f, FirstPause)]
}

// fates returns the possible fates of each call. Indistinguishable fates are listed
// once: a read has no effect, so losing it before or after is the same.
func fates(c Call) []Fate {
	switch c {
	case Read:
		return []Fate{LostBefore, LateAnswer, Forbidden, DiesBefore}
	case Write:
		return []Fate{LostBefore, LostAfter, LateAnswer, LateEffect, LandedConflict, Forbidden, DiesBefore, DiesAfter, DiesWhile}
	case Knows:
		return []Fate{LostBefore, LateAnswer, Refused, Forbidden, Limited, DiesBefore}
	case Set, Create:
		return []Fate{LostBefore, LostAfter, LateAnswer, LateEffect, Refused, RefusedAfter, Forbidden, Limited, LimitedAfter, DiesBefore, DiesAfter, DiesWhile}
	case Proof:
		return []Fate{LostBefore, LateAnswer, Forbidden, Limited, Unverifiable, DiesBefore}
	}
	return nil
}

// has reports whether the effect happens with the call.
func (f Fate) has() bool {
	switch f {
	case OK, LostAfter, LateAnswer, LandedConflict, RefusedAfter, LimitedAfter, DiesAfter:
		return true
	}
	return false
}

// later reports whether the effect is still to come.
func (f Fate) later() bool { return f == LateEffect || f == DiesWhile }

func (f Fate) deadly() bool { return f == DiesBefore || f == DiesAfter || f == DiesWhile }

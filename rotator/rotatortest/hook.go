package rotatortest

import (
	"errors"

	"mailu-rotator/rotator"
)

// Op names a call to the outside world.
type Op string

// The calls.
const (
	OpList        Op = "list"
	OpRead        Op = "read"
	OpWrite       Op = "write"
	OpKeys        Op = "keys"
	OpKnows       Op = "knows"
	OpVerify      Op = "proof"
	OpHash        Op = "hash"
	OpSetPassword Op = "set password"
	OpCreate      Op = "create" // creates the record
	OpCreateUser  Op = "create user"
)

// Call is one call as a hook sees it.
type Call struct {
	Op     Op
	Tenant rotator.TenantID // of a read or write
	User   string           // of a call to Mailu
}

// Fault changes the result of a call.
type Fault struct {
	// Before fails the call without effect.
	Before error
	// After lets the effect happen and loses the answer.
	After error
	// CrashBefore and CrashAfter end the process before or after the effect: the call
	// panics with [ErrCrash], which [Survive] turns into a return.
	CrashBefore, CrashAfter bool
}

// Hook decides about each call; nil lets every call succeed. It must be safe for
// concurrent use.
type Hook func(Call) Fault

// On returns a hook that gives every call of this kind the fault.
func On(op Op, fault Fault) Hook {
	return func(c Call) Fault {
		if c.Op == op {
			return fault
		}
		return Fault{}
	}
}

// ErrCrash is the panic of a call in which the process dies.
var ErrCrash = errors.New("the process died here")

// ErrLost is a fault for tests that accept any error.
var ErrLost = errors.New("connection reset")

// Survive calls f and reports whether the process survived.
func Survive(f func()) (lived bool) {
	defer func() {
		if p := recover(); p != nil && p != ErrCrash { //nolint:errorlint // exactly this value
			panic(p)
		}
	}()
	f()
	return true
}

func (h Hook) around(c Call, effect func() error) error {
	var fault Fault
	if h != nil {
		fault = h(c)
	}
	switch {
	case fault.CrashBefore:
		panic(ErrCrash)
	case fault.Before != nil:
		return fault.Before
	}
	err := effect()
	switch {
	case fault.CrashAfter:
		panic(ErrCrash)
	case fault.After != nil:
		return fault.After
	}
	return err
}

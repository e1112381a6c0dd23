package rotator

import "context"

// Tracer is called when a part of a run begins. It returns the context for that part,
// and a function that is called with the part's error when it ends. Several goroutines
// call it concurrently; it must not block. It may be nil.
type Tracer func(ctx context.Context, part Part) (context.Context, func(error))

// Part is a stretch of work: a run, a tenant in it, or a step of the tenant's rotation.
// They nest in this order.
type Part struct {
	Name     PartName
	Tenant   string // of all parts except runs
	Origin   Origin
	Rotation string // of steps
	// The tenant's result, to be read when its part has ended. Both are nil in other
	// parts, and exactly one is set in a tenant's. An end's error is no failure if the
	// outcome is none.
	Outcome *Outcome // in a sweep, of this attempt
	State   *State   // in a verification
}

// PartName is a constant name: durations and traces are searched by it.
type PartName string

// The parts.
const (
	PartSweep        PartName = "sweep"
	PartRecovery     PartName = "recovery" // a sweep that only finishes half-finished rotations
	PartVerification PartName = "verification"
	PartTenant       PartName = "tenant" // one attempt, with all its steps

	PartLook     PartName = "look"      // does the user exist, is the token right
	PartPrepare  PartName = "prepare"   // a new password and its claim are written to Vault
	PartTakeOver PartName = "take over" // a claim is rewritten
	PartPush     PartName = "push"      // the password is sent to Mailu
	PartVerify   PartName = "verify"    // Mailu is asked which password it holds
	PartCommit   PartName = "commit"    // the password becomes current in Vault
	PartAbandon  PartName = "abandon"   // the pending password is dropped
)

// Steps returns the parts of a rotation, in their usual order.
func Steps() []PartName {
	return []PartName{PartLook, PartPrepare, PartTakeOver, PartPush, PartVerify, PartCommit, PartAbandon}
}

func (t Tracer) begin(ctx context.Context, part Part) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	return t(ctx, part)
}

// step begins a step of the rotation.
func (r *rotation) step(ctx context.Context, name PartName) (context.Context, func(error)) {
	return r.Trace.begin(ctx, Part{Name: name, Tenant: string(r.cred.Tenant), Origin: r.cred.Origin, Rotation: r.id})
}

package rotator

import "context"

// Tracer is told when a part of a run begins and returns the context to do it
// in, and what is to be called with its error when it ends. It is called by
// several goroutines at once and must not block. A nil Tracer is told nothing.
type Tracer func(ctx context.Context, part Part) (context.Context, func(error))

// Part is a stretch of work that takes time: a run, a tenant in it, or a step of
// the tenant's rotation. They nest in this order.
type Part struct {
	Name     PartName
	Tenant   string // of all but runs
	Origin   Origin
	Rotation string // of steps
	// What a tenant came to, to be read when its part has ended; both are nil in
	// other parts, and one of them is in this one. An end's error is no failure
	// where the outcome is none.
	Outcome *Outcome // in a sweep, of this attempt
	State   *State   // in a verification
}

// PartName is a constant name: durations and traces are searched by it.
type PartName string

// The parts.
const (
	PartSweep        PartName = "sweep"
	PartRecovery     PartName = "recovery" // a sweep that only finishes what is half-finished
	PartVerification PartName = "verification"
	PartTenant       PartName = "tenant" // one attempt at it, with all its steps

	PartLook     PartName = "look"      // is the user there, is the token right
	PartPrepare  PartName = "prepare"   // a new password and its claim go to Vault
	PartTakeOver PartName = "take over" // a claim is rewritten
	PartPush     PartName = "push"      // Mailu is told the password
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

package rotator

// Step names a step of a rotation, as in the metrics.
type Step string

// The steps.
const (
	StepLook     Step = "look"      // does the user exist, is the token right
	StepPrepare  Step = "prepare"   // a new password and its claim are written to Vault
	StepTakeOver Step = "take over" // a claim is rewritten
	StepPush     Step = "push"      // the password is sent to Mailu
	StepVerify   Step = "verify"    // Mailu is asked which password it holds
	StepCommit   Step = "commit"    // the password becomes current in Vault
	StepAbandon  Step = "abandon"   // the pending password is dropped
)

// Steps returns the steps of a rotation, in their usual order.
func Steps() []Step {
	return []Step{StepLook, StepPrepare, StepTakeOver, StepPush, StepVerify, StepCommit, StepAbandon}
}

// timed returns the function that ends a step and reports how long it took.
func (r *Rotator) timed(step Step) (end func()) {
	if r.OnStep == nil {
		return func() {}
	}
	begun := r.Clock.Now()
	return func() { r.OnStep(step, r.Clock.Now().Sub(begun)) }
}

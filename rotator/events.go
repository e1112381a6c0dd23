package rotator

import "time"

// Event is one thing that happened, for logs, progress and metrics. Fields that do not
// apply are zero.
type Event struct {
	Name     EventName
	Tenant   string
	User     string // as in the record of the tenant, if that was read
	Origin   Origin
	Rotation string // one attempt's id, the same in all its events
	Outcome  Outcome
	State    State         // of a verification
	Count    int           // of tenants; the name says which are counted
	Rotated  int           // at the end of a run: tenants with a new password,
	Finished int           // half-finished ones that were completed,
	Deferred int           // and those not started
	Took     time.Duration // at the end of a run
	Wait     time.Duration // how long until the next try
	Status   *Status       // of TenantDone and TenantReported: the tenant's state afterwards
	Err      error         // never contains a secret
}

// EventName is a constant message: logs are searched by it.
type EventName string

// The events, in the order of a run.
const (
	SweepStarted        EventName = "sweep started"
	SweepPlanned        EventName = "sweep planned"       // Count: to rotate or finish
	TenantSkipped       EventName = "tenant skipped"      // Outcome and Err say why: malformed, unreadable, ignored
	RotationPrepared    EventName = "rotation prepared"   // the pending password is in Vault
	RecordExpires       EventName = "record expires"      // the store deletes this record itself, Err says when
	RotationTakenOver   EventName = "rotation taken over" // its former owner's claim had expired
	PasswordPushed      EventName = "password pushed"     // Mailu answered that it has it
	PushUncertain       EventName = "push uncertain"      // Mailu may or may not have it
	PasswordVerified    EventName = "password verified"   // Mailu's hash proves it
	RecordRebased       EventName = "record rebased"      // another writer changed other fields in between
	RotationCommitted   EventName = "rotation committed"  // the new password is current
	AccountRestricted   EventName = "account restricted"  // Err says what prevents logins with the right password
	LoginWasAccepted    EventName = "login accepted"      // a real login with the password that was just proven
	LoginWasRefused     EventName = "login refused"       // the same, although Mailu's hash proves the password
	LoginWasNotPossible EventName = "login not possible"  // Err says why the password was not tried
	UserCreated         EventName = "user created"        // a new tenant's, in Mailu, with its first password
	UserTakenOver       EventName = "user taken over"     // a new tenant's that existed in Mailu
	RotationAbandoned   EventName = "rotation abandoned"  // Mailu certainly refused; the old password stays
	PendingRestored     EventName = "pending restored"    // it had been overwritten while Mailu may have it
	TenantDone          EventName = "tenant done"         // Outcome; Err if it failed
	TenantReported      EventName = "tenant reported"     // like TenantDone, by a worker of the cluster, which has its other events
	ServerPaused        EventName = "server paused"       // breaker open: Wait, then one tenant tries
	ServerStopped       EventName = "server stopped"      // nothing more is sent to it in this run
	SweepFinished       EventName = "sweep finished"      // Count: tenants that failed; Rotated, Finished, Deferred, Took
	SweepInterrupted    EventName = "sweep interrupted"   // like SweepFinished; the program was stopped before the end

	// A recovery is a sweep that finishes half-finished rotations, and starts none.
	RecoveryStarted     EventName = "recovery started"
	RecoveryPlanned     EventName = "recovery planned"     // Count: to finish
	RecoveryFinished    EventName = "recovery finished"    // Count: tenants that failed
	RecoveryInterrupted EventName = "recovery interrupted" // Count: tenants that failed; Deferred

	VerificationStarted     EventName = "verification started"
	VerificationPlanned     EventName = "verification planned"     // Count: tenants to verify
	TenantRepaired          EventName = "tenant repaired"          // Vault and Mailu agree again
	TenantVerified          EventName = "tenant verified"          // State; Err if it needs attention
	VerificationFinished    EventName = "verification finished"    // Count: problems
	VerificationInterrupted EventName = "verification interrupted" // the program was stopped before its end
	AdditionStarted         EventName = "addition started"
	AdditionPlanned         EventName = "addition planned"   // Count: tenants to add
	AdditionWithdrawn       EventName = "addition withdrawn" // another tenant has the user, Err says which
	AdditionFinished        EventName = "addition finished"  // Count: tenants that failed
	ResealStarted           EventName = "reseal started"
	ResealPlanned           EventName = "reseal planned"    // Count: records to reseal
	PasswordResealed        EventName = "password resealed" // with the newest master key; it is the same password
	ResealFinished          EventName = "reseal finished"   // Count: tenants that failed
	RollbackStarted         EventName = "rollback started"  // an earlier password is restored; ends with TenantDone

	SweepRefused          EventName = "sweep refused"               // it could not start
	TickScheduled         EventName = "next sweep scheduled"        // Wait
	SweepMissed           EventName = "sweep missed"                // the host was off, or no run could start: Count tenants are overdue
	RecoveryRefused       EventName = "recovery refused"            // it could not start
	VerificationRefused   EventName = "verification refused"        // it could not start
	VerificationScheduled EventName = "next verification scheduled" // Wait
	SettingsReplaced      EventName = "configuration renewed"       // effective from here on
	WorkerReady           EventName = "worker ready"                // planners know of it; Count: of servers that it lists
)

// Task is a kind of run, as metrics, hooks and the status page name it.
type Task string

// The tasks.
const (
	TaskSweep        Task = "sweep"
	TaskRecovery     Task = "recovery" // a sweep that only finishes half-finished rotations
	TaskVerification Task = "verification"
)

// Task is the run that an event belongs to; empty for other events.
func (n EventName) Task() Task {
	switch n {
	case SweepStarted, SweepPlanned, SweepFinished, SweepInterrupted, SweepRefused, TickScheduled, SweepMissed:
		return TaskSweep
	case RecoveryStarted, RecoveryPlanned, RecoveryFinished, RecoveryInterrupted, RecoveryRefused:
		return TaskRecovery
	case VerificationStarted, VerificationPlanned, VerificationFinished, VerificationInterrupted, VerificationRefused, VerificationScheduled:
		return TaskVerification
	}
	return ""
}

// Login is the result of the login that an event is about; empty for other events.
func (n EventName) Login() LoginState {
	switch n {
	case LoginWasAccepted:
		return LoginAccepted
	case LoginWasRefused:
		return LoginRefused
	case LoginWasNotPossible:
		return LoginNotPossible
	}
	return ""
}

// Observer receives every event, possibly from several goroutines at once. It must not
// block. It may be nil.
type Observer func(Event)

// Notify calls the observer, unless it is nil.
func (o Observer) Notify(e Event) {
	if o != nil {
		o(e)
	}
}

// Step names a step of a rotation, as in the metrics.
type Step string

// The steps.
const (
	StepPrecheck Step = "precheck"  // does the user exist, is the token right
	StepPrepare  Step = "prepare"   // a new password and its claim are written to Vault
	StepTakeOver Step = "take over" // a claim is rewritten
	StepPush     Step = "push"      // the password is sent to Mailu
	StepVerify   Step = "verify"    // Mailu is asked which password it holds
	StepCommit   Step = "commit"    // the password becomes current in Vault
	StepAbandon  Step = "abandon"   // the pending password is dropped
)

// Steps returns the steps of a rotation, in their usual order.
func Steps() []Step {
	return []Step{StepPrecheck, StepPrepare, StepTakeOver, StepPush, StepVerify, StepCommit, StepAbandon}
}

func (r *rotation) note(name EventName, err error) {
	r.Observe.Notify(Event{Name: name, Tenant: string(r.cred.Tenant), User: r.cred.Username, Origin: r.cred.Origin, Rotation: r.id, Err: err})
}

// timed returns the function that ends a step and reports how long it took.
func (r *Rotator) timed(step Step) (end func()) {
	if r.OnStep == nil {
		return func() {}
	}
	begun := r.Clock.Now()
	return func() { r.OnStep(step, r.Clock.Now().Sub(begun)) }
}

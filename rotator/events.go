package rotator

import "time"

// Event is one thing that happened, for logs, progress and metrics. The fields
// that do not apply are zero.
type Event struct {
	Name     EventName
	Tenant   string
	Origin   Origin
	Rotation string // one attempt's id, the same in all its events
	Outcome  Outcome
	State    State         // of a verification
	Count    int           // of tenants, where the name says what is counted
	Deferred int           // of the end of a sweep: tenants that it has not begun
	Wait     time.Duration // how long until the next try
	Status   *Status       // of TenantDone: how the tenant stands afterwards
	Err      error         // never holds a secret
}

// EventName is a constant message: logs are searched by it.
type EventName string

// The events, in the order in which a run meets them.
const (
	SweepStarted      EventName = "sweep started"
	SweepPlanned      EventName = "sweep planned"       // Count: to rotate or finish
	TenantSkipped     EventName = "tenant skipped"      // Outcome and Err say why: malformed, unreadable, foreign
	RotationPrepared  EventName = "rotation prepared"   // the pending password is in Vault
	RecordExpires     EventName = "record expires"      // the store deletes what was written by itself, Err says when
	RotationTakenOver EventName = "rotation taken over" // its former owner's claim had lapsed
	PasswordPushed    EventName = "password pushed"     // Mailu answered that it has it
	PushUncertain     EventName = "push uncertain"      // Mailu may or may not have it
	PasswordVerified  EventName = "password verified"   // Mailu's hash proves it
	RecordRebased     EventName = "record rebased"      // somebody changed other fields meanwhile
	RotationCommitted EventName = "rotation committed"  // the new password is current
	AccountRestricted EventName = "account restricted"  // Err says what keeps the user from logging in with the right password
	UserCreated       EventName = "user created"        // a new tenant's, in Mailu, with its first password
	UserTakenOver     EventName = "user taken over"     // a new tenant's that Mailu had already
	RotationAbandoned EventName = "rotation abandoned"  // Mailu refused for certain; the old one stays
	PendingRestored   EventName = "pending restored"    // it had been overwritten while Mailu may have it
	TenantDone        EventName = "tenant done"         // Outcome; Err if it failed
	ServerPaused      EventName = "server paused"       // breaker open: Wait, then one tenant tries
	ServerStopped     EventName = "server stopped"      // nothing more is sent to it in this run
	SweepFinished     EventName = "sweep finished"      // Count: tenants that failed; Deferred
	SweepInterrupted  EventName = "sweep interrupted"   // the same; the program was told to stop before the sweep's end

	// A recovery is a sweep that finishes what is half-finished, and begins nothing.
	RecoveryStarted     EventName = "recovery started"
	RecoveryPlanned     EventName = "recovery planned"     // Count: to finish
	RecoveryFinished    EventName = "recovery finished"    // Count: tenants that failed
	RecoveryInterrupted EventName = "recovery interrupted" // Count: tenants that failed; Deferred

	VerificationStarted     EventName = "verification started"
	VerificationPlanned     EventName = "verification planned"     // Count: tenants to ask about
	TenantRepaired          EventName = "tenant repaired"          // Vault and Mailu agree again
	TenantVerified          EventName = "tenant verified"          // State; Err if somebody has to look
	VerificationFinished    EventName = "verification finished"    // Count: problems
	VerificationInterrupted EventName = "verification interrupted" // the program was told to stop before its end
	AdditionStarted         EventName = "addition started"
	AdditionPlanned         EventName = "addition planned"   // Count: tenants to add
	AdditionWithdrawn       EventName = "addition withdrawn" // another tenant has the user, Err says which
	AdditionFinished        EventName = "addition finished"  // Count: tenants that failed
	ResealStarted           EventName = "reseal started"
	ResealPlanned           EventName = "reseal planned"    // Count: records to seal anew
	PasswordResealed        EventName = "password resealed" // with the newest master key; it is the same password
	ResealFinished          EventName = "reseal finished"   // Count: tenants that failed
	RollbackStarted         EventName = "rollback started"  // an earlier password is brought back; ends with TenantDone

	SweepRefused          EventName = "sweep refused"               // it could not run at all
	TickScheduled         EventName = "next sweep scheduled"        // Wait
	SweepMissed           EventName = "sweep missed"                // the host was off, or nothing could run: Count tenants are overdue; Wait until the next one
	RecoveryRefused       EventName = "recovery refused"            // it could not run at all
	VerificationRefused   EventName = "verification refused"        // it could not run at all
	VerificationScheduled EventName = "next verification scheduled" // Wait
	SettingsReplaced      EventName = "configuration renewed"       // from here on
)

// Task is the run that an event is about, as metrics and boards name it; empty
// for other events.
func (n EventName) Task() PartName {
	switch n {
	case SweepStarted, SweepPlanned, SweepFinished, SweepInterrupted, SweepRefused, TickScheduled, SweepMissed:
		return PartSweep
	case RecoveryStarted, RecoveryPlanned, RecoveryFinished, RecoveryInterrupted, RecoveryRefused:
		return PartRecovery
	case VerificationStarted, VerificationPlanned, VerificationFinished, VerificationInterrupted, VerificationRefused, VerificationScheduled:
		return PartVerification
	}
	return ""
}

// Observer is told of every event, possibly by several goroutines at once. It
// must not block. A nil Observer is told nothing.
type Observer func(Event)

func (o Observer) observe(e Event) {
	if o != nil {
		o(e)
	}
}

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
	RotationTakenOver EventName = "rotation taken over" // its former owner's claim had lapsed
	PasswordPushed    EventName = "password pushed"     // Mailu answered that it has it
	PushUncertain     EventName = "push uncertain"      // Mailu may or may not have it
	PasswordVerified  EventName = "password verified"   // Mailu's hash proves it
	RecordRebased     EventName = "record rebased"      // somebody changed other fields meanwhile
	RotationCommitted EventName = "rotation committed"  // the new password is current
	UserCreated       EventName = "user created"        // a new tenant's, in Mailu, with its first password
	UserTakenOver     EventName = "user taken over"     // a new tenant's that Mailu had already
	RotationAbandoned EventName = "rotation abandoned"  // Mailu refused for certain; the old one stays
	PendingRestored   EventName = "pending restored"    // it had been overwritten while Mailu may have it
	TenantDone        EventName = "tenant done"         // Outcome; Err if it failed
	ServerPaused      EventName = "server paused"       // breaker open: Wait, then one tenant tries
	ServerStopped     EventName = "server stopped"      // nothing more is sent to it in this run
	SweepFinished     EventName = "sweep finished"      // Count: tenants that failed

	VerificationStarted  EventName = "verification started"
	VerificationPlanned  EventName = "verification planned"  // Count: tenants to ask about
	TenantRepaired       EventName = "tenant repaired"       // Vault and Mailu agree again
	TenantVerified       EventName = "tenant verified"       // State; Err if somebody has to look
	VerificationFinished EventName = "verification finished" // Count: problems
	AdditionStarted      EventName = "addition started"
	AdditionPlanned      EventName = "addition planned"  // Count: tenants to add
	AdditionFinished     EventName = "addition finished" // Count: tenants that failed
	ResealStarted        EventName = "reseal started"
	ResealPlanned        EventName = "reseal planned"    // Count: records to seal anew
	PasswordResealed     EventName = "password resealed" // with the newest master key; it is the same password
	ResealFinished       EventName = "reseal finished"   // Count: tenants that failed
	RollbackStarted      EventName = "rollback started"  // an earlier password is brought back; ends with TenantDone

	SweepRefused          EventName = "sweep refused"               // it could not run at all
	TickScheduled         EventName = "next sweep scheduled"        // Wait
	VerificationRefused   EventName = "verification refused"        // it could not run at all
	VerificationScheduled EventName = "next verification scheduled" // Wait
	SettingsReplaced      EventName = "configuration renewed"       // from here on
)

// Observer is told of every event, possibly by several goroutines at once. It
// must not block. A nil Observer is told nothing.
type Observer func(Event)

func (o Observer) observe(e Event) {
	if o != nil {
		o(e)
	}
}

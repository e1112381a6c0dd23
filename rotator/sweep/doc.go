// Package sweep runs over many tenants: it reads the fleet once ([Sweep]), decides from
// records alone what to do ([Plan], pure), and takes the tenants through one queue for
// each Mailu server, with a canary, a circuit breaker and bounded retries. A [Daemon]
// does so on schedule.
//
// What happens to one tenant is package rotator's; this package never writes a record
// and never sends a password itself. It keeps no records of tenants with nothing to do.
//
// Duplicates are its concern: two tenants that name one user would lock each other out,
// so nothing is pushed before the whole fleet is known, however few tenants a run is
// for.
package sweep

// Package commands explores whole commands side by side: sweeps, emergency runs,
// verifications with repair, rollbacks and additions over a few tenants, in every order
// of their calls, with faults and stale reads in between, within stated budgets.
// Package simulation proves the protocol of one tenant; this package checks what lies
// beyond it: which tenants share a user, how a repair treats a record that others
// change, and the effect of outdated answers. It drives the real [rotator.Sweep]. Only
// tests use it, and all of it is in them.
//
// # How it runs
//
// Each command runs in its own goroutines, in a bubble of testing/synctest, and every
// call to Vault or Mailu waits until the scheduler has decided on it. When all calls
// are held, the scheduler chooses which of them takes effect, and with which fate.
// States are explored breadth first by replaying, so that the first violation has the
// shortest schedule; states that are equal in all that matters later are followed once.
//
// # Limits of the model
//
//   - The calls of one command come in the order of its tenants: two tenants of
//     one command share nothing but the queue of their server.
//   - A command that waits (for a claim of others, or before a retry) continues
//     when all others have ended or wait too.
//   - Claims expire only during a command's wait: package simulation covers
//     stalls.
//
// # What is checked
//
// After every step: a tenant whose current or pending password Mailu accepted once is
// never locked out again; no process writes a second password beside a pending one, or
// takes a valid claim; a new current password opens with the fields beside it, and
// Mailu has shown its hash, or it is the same password in another envelope; a push
// begins under a valid claim; fields of others do not change; and no process that has
// seen two records of one user in the list pushes for one of them.
//
// At rest, after the commands that the scenario names, undisturbed, Mailu accepts the
// current password of each tenant that must be whole, and nothing is pending.
package commands

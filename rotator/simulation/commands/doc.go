// Package commands explores whole commands side by side: sweeps, emergency runs,
// verifications with repair, rollbacks and additions over a few tenants, in every
// order of their calls, with faults and stale reads in between, within stated
// budgets. Where package simulation proves the protocol of one tenant, this one
// looks at what lies beside it: who shares a user with whom, what a repair makes of
// a record that others change, and what becomes of an answer that is out of date.
// It drives the real [rotator.Sweep]. Only tests use it, and all of it is in them.
//
// # How it runs
//
// Each command runs in goroutines of its own, in a bubble of testing/synctest, and
// every call to Vault or Mailu waits until the scheduler has decided on it. When
// all are held, the scheduler chooses whose call has its effect, and which fate it
// meets. States are explored breadth first by replaying, so that a violation comes
// with the shortest schedule that leads to it; states that are equal in all that
// matters from there on are followed once.
//
// # What is left out
//
//   - The calls of one command come in the order of its tenants: two tenants of
//     one command have nothing in common but the queue of their server.
//   - A command that waits (for a claim of others, or before it tries again) goes
//     on when all others have ended or wait too.
//   - Claims do not lapse under a command that is not waiting: package simulation
//     has stalls.
//
// # What is checked
//
// After every step: a tenant whose current or pending password Mailu accepted once
// is never locked out again; nobody writes a second password beside a pending one,
// or takes a claim that stands; what becomes current opens with the fields beside
// it, and Mailu has shown its hash, or it is the same password in another envelope;
// a push is begun under a live claim; fields of others stay; and nobody who has
// seen in the list two records of one user pushes for one of them.
//
// At rest, after the commands that the scenario names, undisturbed, Mailu accepts
// the current password of each tenant that is to be whole, and nothing is pending.
package commands

// Package rotator is the domain: which credentials are due, how to rotate one without
// ever locking anyone out, and how a sweep does so for a whole fleet.
//
// Mailu holds one password per user and Vault holds another copy: two systems without a
// shared transaction. The rule (docs/architecture.md): a password exists durably in
// Vault before it is sent to Mailu, and Vault names it current only after proof that
// Mailu has it. Each step is one check-and-set write, so every crash leaves a state
// that the next run can finish:
//
//	prepare  Vault: current + pending    a claim on the tenant, with an end
//	push     Mailu: the pending password idempotent, only under a live claim
//	verify   Mailu: the hash proves it
//	commit   Vault: pending becomes current
//
// A new tenant's record begins with only a pending password, and no current one.
//
// [Rotator] holds the protocol, [Sweep] the run over all tenants, [Plan] the decision
// what to do (pure), [Daemon] the schedule. The invariant that every test checks: at
// any moment Mailu accepts the current or the pending password of Vault; at rest, the
// current one.
//
// The package knows no HTTP, no Vault and no Mailu: it declares the small interfaces
// that it needs ([Store], [Mailu], [Server], [Keys], [Clock], [Registry]) and the
// errors on which it branches.
package rotator

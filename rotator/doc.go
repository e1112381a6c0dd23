// Package rotator is the rotation of one tenant: what its record says, whether it is
// due, and how to give it a new password without ever locking anyone out.
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
// rotate.go has the protocol, from top to bottom. A new tenant's record begins with
// only a pending password (create.go). The invariant that every test checks: at any
// moment Mailu accepts the current or the pending password of Vault; at rest, the
// current one.
//
// The package knows no HTTP, no Vault and no Mailu: it declares the small interfaces
// that it needs ([Store], [Mailu], [Server], [Envelope], [Clock], [Creator]) and the
// errors on which it branches. Package sweep runs it over all tenants.
package rotator

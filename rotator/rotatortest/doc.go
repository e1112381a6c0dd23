// Package rotatortest simulates the domain's outside world in memory: a store with the
// check-and-set semantics of Vault's KV v2, a Mailu server, and a clock. A [Hook] sees
// every call and may make it fail before or after its effect, or let the process die
// there.
//
// Faithfulness: the store passes the same contract test as the real one (the vault
// package's tests). The server stores passwords instead of hashes, answers immediately,
// and treats all spellings of an address as one user; its origins share their users.
package rotatortest

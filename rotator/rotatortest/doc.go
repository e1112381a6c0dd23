// Package rotatortest has the domain's outside world in memory: a store with
// the check-and-set semantics of Vault's KV v2, a Mailu server, and a clock. A
// [Hook] sees every call and may make it fail before or after its effect, or
// let the process die there.
//
// How faithful they are: the store is held to the same contract test as the
// real one (the vault package's tests); the server keeps passwords instead of
// hashes, answers at once, and takes all spellings of an address for one user; its
// origins have the same users.
package rotatortest

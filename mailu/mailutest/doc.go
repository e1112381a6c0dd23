// Package mailutest is a Mailu admin API for tests and the demo: a real HTTP server on loopback that hashes, refuses,
// limits and fails as the admin container of Mailu 2024.06.57 does, or of 2.0 if asked to.
//
// What it promises: the order of checks, the statuses, the shapes of the answers and the hash of every password are
// Mailu's own. testdata/contract.json is a recording of the real one, and replayed against this one; docs/mailu-facts.md
// is the list with sources. Hashes are proven against passlib's published vectors, not against the client under test.
//
// What it leaves out: all resources but users and domains, of a domain all but GET and PATCH of one, local parts in
// quotes, HTTP/2, and the exemption from the rate limit that a successful mail login earns.
//
// It must never import another package of this module: a server that shares code with its client repeats its mistakes.
package mailutest

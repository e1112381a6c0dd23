// Package mailutest is a Mailu admin API for tests and the demo: a real HTTP server on loopback that hashes, refuses,
// limits and fails as the admin container of Mailu 2024.06.57 does, or optionally of 2.0.
//
// It promises: the order of checks, the statuses, the shapes of the answers and the hash of every password are Mailu's
// own. testdata/contract.json is a recording of the real one, and a test replays it against this one;
// FACTS.md lists the facts with sources. Hashes are checked against passlib's published vectors, not against
// the client under test.
//
// Beside the API there is a submission service, for logins ([Server.AddSubmission]).
//
// It omits: all resources except users and domains, all operations on domains except GET and PATCH of one, local parts
// in quotes, HTTP/2, and the exemption from the rate limit after a successful mail login.
//
// It must never import another package of this module: a server that shares code with its client repeats its errors.
package mailutest

// Package mailutest is a Mailu admin API for tests and the demo: a real HTTP server on loopback that hashes, refuses,
// limits and fails as the admin container of Mailu 2024.06 does (Flask 3.0.3, Werkzeug 3.0, flask-restx 1.3.0,
// validators 0.28.1, passlib 1.7.4, bcrypt 4.1.3: core/base/requirements-prod.txt of that release).
//
// What it promises: the order of checks, the statuses, the shapes of the answers and the hash of every password are
// Mailu's own, and each is stated with its source where it is made; docs/mailu-facts.md is the list. Hashes are proven
// against passlib's published vectors, not against the client under test.
//
// What it leaves out: DELETE (405 here), of /domain all but GET of one, other resources, max_users of a domain, domains
// outside ASCII, HTTP/2, and the exemption from the rate limit that a successful mail login earns.
//
// It must never import another package of this module: a server that shares code with its client repeats its mistakes.
package mailutest

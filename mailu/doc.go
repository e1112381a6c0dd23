// Package mailu is the rotator's client for Mailu's admin API: [Servers] is a
// [rotator.Mailu], [Server] a [rotator.Server]. It sends four kinds of request:
//
//	PATCH {api}/user/{email}  {"raw_password": …}  push
//	GET   {api}/user/{email}                       look up; the hash, for the proof; the check
//
// These two are only for a tenant that is being added:
//
//	GET   {api}/domain/{domain}                    look up, before
//	POST  {api}/user          {"email": …, …}      create
//
// It promises, whatever a server answers:
//
//   - The token is sent to the API URLs of the configuration and nowhere else: it
//     follows no redirect and uses no proxy.
//   - It reports "refused" only if no request of the call can have changed the
//     password, which only Mailu's own messages show. Everything else that is not
//     a clear success is ambiguous.
//   - Until a run has seen the token accepted, it sends one request at a time to
//     the API's host, and after one refusal of a token none, because five block
//     the sender's network for an hour.
//   - A refusal by a firewall or a proxy counts for one request only, until three
//     users in a row get such an answer.
//   - It sends a server at most as many concurrent requests as its entry allows,
//     since the process that hashes passwords also answers every mail login.
//   - An answer costs bounded memory, time and hashing, and reaches an error only
//     without control characters, passwords and tokens.
//
// The facts about Mailu come from its source (core/admin/mailu/api) and from a real
// admin, release 2024.06; the hash format is passlib's bcrypt_sha256. The package
// imports rotator, crypto, internal/netfault and internal/text, and never logs.
package mailu

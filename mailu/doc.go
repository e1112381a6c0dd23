// Package mailu is the rotator's client for Mailu's admin API: [Servers] is a
// [rotator.Mailu], [Server] a [rotator.Server]. It makes four requests and no
// others:
//
//	PATCH {api}/user/{email}  {"raw_password": …}  push
//	GET   {api}/user/{email}                       look up; the hash, for the proof; the check
//
// These two are for a tenant that is being added, and for nothing else:
//
//	GET   {api}/domain/{domain}                    look up, before
//	POST  {api}/user          {"email": …, …}      create
//
// What it promises, whatever a server answers:
//
//   - The token goes to the API URLs of the configuration and nowhere else: no
//     redirect is followed and no proxy is used.
//   - "Refused" is said only if no request of the call can have changed the
//     password, which Mailu's own words alone tell. Everything else that is not a
//     clear yes is ambiguous.
//   - Until a run has seen the token accepted, one request at a time goes to the
//     API's host, and after one refusal of a token nothing more, because five block
//     the sender's network for an hour.
//   - What a firewall or a proxy refuses is about one request, until three users in
//     a row are answered so.
//   - A server is sent no more requests at a time than its entry allows, since
//     the process that hashes passwords also answers every mail login.
//   - An answer costs bounded memory, time and hashing, and what it says reaches
//     an error only without control characters, passwords and tokens.
//
// The facts about Mailu come from its source (core/admin/mailu/api) and from a
// real admin, release 2024.06; the hash format is passlib's bcrypt_sha256. The
// package imports rotator, crypto and internal/netfault, and never logs.
package mailu

// Package vault is the copy of record on HashiCorp Vault: the tenants' records
// in a KV version 2 mount, the master key in a Transit mount, and Vault's clock.
//
// A [Client] is one session: [Open] logs in and makes sure that the mount is
// KV version 2, the work follows, and [Client.Close] revokes the token. A
// [Login] outlives the sessions, because some credentials work only once. A
// *Client is a rotator.Store and a rotator.Keys. For a doctor, an [Outside] tells
// how Vault is before anybody has logged in, and [CheckLogin] and
// [Client.Examine] make one check of each thing that a run needs.
//
// What it promises:
//   - Every write is check-and-set against the version that was read, and none
//     creates a record. It never uses Patch, whose helper ignores the version.
//   - Fields that it does not know come back as Vault gave them, numbers digit
//     for digit. (Vault's KV engine itself gives numbers as 64-bit floats.)
//   - Nothing is never read as "no tenants": an empty or missing prefix, mount
//     or key is an error that says what to check.
//   - A sealed, standby, overloaded or unreachable Vault makes calls wait, with
//     growing, jittered pauses, within the caller's deadline; a token that is
//     gone is replaced by one login for all callers, never by a storm.
//   - No answer can fill the memory, and no VAULT_* variable of the environment
//     changes what the [Config] says.
//   - No redirect is followed: a token is sent to Config.Address alone.
//   - Tokens, keys and passwords are in no error and no log.
//
// It may import the domain (rotator), crypto, internal/netfault and Vault's API
// client, and nothing else of this project. It logs nothing and starts no goroutine that
// Close does not wait for.
//
// The facts it rests on were read off Vault 1.21 and its API client 1.23 and
// are tested against a real server. Behind its Kubernetes logins there is no
// real cluster, but a server that reviews tokens as one does.
package vault

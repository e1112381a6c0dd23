// Package vault accesses the copy of record in HashiCorp Vault: the tenants' records in
// a KV version 2 mount, the master key in a Transit mount, and Vault's clock.
//
// A [Client] is one session: [Open] logs in and checks that the mount is KV version 2,
// and [Client.Close] revokes the token. A [Login] outlives the sessions, because some
// credentials work only once. A *Client is a rotator.Store and a rotator.Keys. For the
// doctor, an [HealthClient] reports Vault's health without a login, and [CheckLogin] and
// [Client.Examine] check each thing that a run needs.
//
// It promises:
//
//   - Every write is check-and-set against the version that was read; only
//     [Client.Create] creates a record. It never uses Patch, whose helper ignores
//     the version.
//   - Unknown fields are written back as Vault returned them, numbers digit for
//     digit. (Vault's KV engine itself returns numbers as 64-bit floats.)
//   - An empty result never means "no tenants": an empty or missing prefix, mount
//     or key is an error that says what to check.
//   - Calls wait for a sealed, standby, overloaded or unreachable Vault, with
//     growing, jittered pauses, within the caller's deadline; one login for all
//     callers replaces an invalid token.
//   - No answer can exhaust the memory, and no VAULT_* variable of the environment
//     overrides the [Config].
//   - It follows no redirect: a token is sent to Config.Address only.
//   - Tokens, keys and passwords appear in no error and no log.
//
// It may import the domain (rotator), crypto, internal/netfault and Vault's API client,
// and nothing else of this project. It logs nothing and starts no goroutine that Close
// does not wait for.
//
// Its assumptions were taken from Vault 1.21 and its API client 1.23 and are tested
// against a real server. The Kubernetes logins are tested without a real cluster,
// against a server that reviews tokens as a cluster does.
package vault

// Package crypto holds everything that handles a password or a key in the clear: the
// redacted [Secret] type, the master [Keyring], the envelope that seals a password for
// its record in Vault, and the generator of new passwords.
//
// The envelope is a contract with readers in other languages and never changes
// silently. This is its specification:
//
//	salt   = utf8(tenant_id + last_rotated)          exact stored strings, no separator
//	prk    = PBKDF2-HMAC-SHA256(master_key, salt, 100000 iterations, 32 bytes)
//	key    = HKDF-SHA256(prk, salt, info = "smtp/" + tenant_id + "/admin/password", 32 bytes)
//	sealed = base64-std( iv[16] || tag[16] || AES-256-GCM ciphertext )
//
// testdata/envelope.json holds vectors from another implementation, with every
// intermediate value and with inputs that must be refused.
//
// This package imports nothing of this project, does no input or output and never puts
// a secret into an error.
package crypto

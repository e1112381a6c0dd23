package config

import (
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Config is the whole configuration, as [Load] returns it: complete, parsed and
// valid. Its yaml tags are the only place where a key's name is written.
type Config struct {
	// Vault says where the copy of record is and how to log in there.
	Vault Vault `yaml:"vault"`
	// Mailu lists the servers that a token may be sent to.
	Mailu Mailu `yaml:"mailu"`
	// Rotation says when, and how fast, passwords are rotated.
	Rotation Rotation `yaml:"rotation"`
	// Verify says when Vault and Mailu are compared.
	Verify Verification `yaml:"verify"`
	// Password is the recipe for new passwords.
	Password Password `yaml:"password"`
	// Hooks are programs to run when something happened.
	Hooks Hooks `yaml:"hooks"`
	// Log says what is logged and how it looks.
	Log Log `yaml:"log"`
}

// Vault is the connection to HashiCorp Vault and the place of the secrets in it.
type Vault struct {
	// Address is Vault's URL, https or http to a loopback address; a path is
	// kept, a final slash is not. Required; VAULT_ADDR stands in for it.
	Address string `yaml:"address"`
	// Namespace is the Vault Enterprise namespace, without outer slashes; empty
	// is the root namespace. VAULT_NAMESPACE stands in for it.
	Namespace string `yaml:"namespace"`
	// CAFile is a PEM file with the certificate authorities to trust instead of
	// the system's; empty means the system's. VAULT_CACERT stands in for it.
	CAFile string `yaml:"ca_file"`
	// Auth is how the program logs in.
	Auth Auth `yaml:"auth"`
	// Mount is the path of the KV version 2 engine, without outer slashes.
	Mount string `yaml:"mount"`
	// Prefix is the folder in the mount that has one folder per tenant: one or
	// more segments, without outer slashes.
	Prefix string `yaml:"prefix"`
	// Leaf is the last segment of a tenant's path: {mount}/{prefix}/{tenant_id}/{leaf}.
	Leaf string `yaml:"leaf"`
	// Transit names the master key.
	Transit Transit `yaml:"transit"`
}

// Auth is the login to Vault. A field that the method does not use must be
// left out: it would suggest that it has an effect.
type Auth struct {
	// Method is one of the AuthMethod constants.
	Method AuthMethod `yaml:"method"`
	// TokenFile holds a Vault token and is read again at every login, so that
	// an agent may renew it. Method token_file; required there.
	TokenFile string `yaml:"token_file"`
	// RoleIDFile holds the AppRole role-id. Method approle; required there.
	RoleIDFile string `yaml:"role_id_file"`
	// SecretIDFile holds the AppRole secret-id, or the token that wraps it.
	// Method approle; required there.
	SecretIDFile string `yaml:"secret_id_file"`
	// SecretIDWrapped says that SecretIDFile holds a response-wrapping token.
	// Such a token works once: the secret-id is kept while the process lives, and
	// a restart needs a new one. Method approle.
	SecretIDWrapped bool `yaml:"secret_id_wrapped"`
	// Role is the name of the role to log in as. Required by method kubernetes,
	// optional with cert, where Vault otherwise picks the role that matches.
	Role string `yaml:"role"`
	// JWTFile holds the service account's token; empty means
	// [ServiceAccountToken]. Method kubernetes.
	JWTFile string `yaml:"jwt_file"`
	// CertFile is the client certificate with its chain, PEM. Method cert;
	// required there.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the client certificate's private key, PEM. Method cert;
	// required there.
	KeyFile string `yaml:"key_file"`
	// Mount is where the auth method is mounted, without "auth/"; empty means
	// the method's own name. Methods approle, kubernetes and cert.
	Mount string `yaml:"mount"`
	// Token is the content of VAULT_TOKEN under method token, else empty. It
	// has no key in the file.
	Token crypto.Secret `yaml:"-"`
}

// AuthMethod is a way to log in to Vault.
type AuthMethod string

// The methods that [Auth.Method] may name.
const (
	AuthToken      AuthMethod = "token"      // the token in VAULT_TOKEN
	AuthTokenFile  AuthMethod = "token_file" // a token in a file, such as an agent's sink
	AuthAppRole    AuthMethod = "approle"
	AuthKubernetes AuthMethod = "kubernetes"
	AuthCert       AuthMethod = "cert" // a TLS client certificate
)

// Transit names the key that seals the passwords.
type Transit struct {
	// Mount is the path of the Transit engine, without outer slashes.
	Mount string `yaml:"mount"`
	// Key is the name of an exportable aes256-gcm96 key.
	Key string `yaml:"key"`
}

// Mailu is what is known about the mail servers.
type Mailu struct {
	// Servers has at least one entry and no two of the same origin. A tenant
	// whose origin is not listed is never sent a token.
	Servers []Server `yaml:"servers"`
}

// Server is one Mailu server.
type Server struct {
	// Origin is scheme, host and port of the tenants' webmail_url; a path is
	// ignored. Required, and different for every server.
	Origin rotator.Origin `yaml:"origin"`
	// APIURL is the base of the admin API, without a final slash; empty means
	// {origin}/api/v1.
	APIURL string `yaml:"api_url"`
	// TokenFile holds the server's API token (API_TOKEN in mailu.env). Required.
	TokenFile string `yaml:"token_file"`
	// CAFile is a PEM file with the certificate authorities to trust instead of
	// the system's; empty means the system's.
	CAFile string `yaml:"ca_file"`
	// AllowHTTP permits plain http to an address other than loopback. Token and
	// passwords then cross the network in the clear.
	AllowHTTP bool `yaml:"allow_http"`
	// MaxConcurrent is how many requests the server is sent at a time, 1 to 64.
	// Each costs its only admin process about 0.3 s of hashing, taken from
	// people who log in.
	MaxConcurrent int `yaml:"max_concurrent"`
	// Timeout bounds one request, 1s to 5m, and is shorter than
	// [Rotation.ClaimTTL]: a push must end before the claim it is made under.
	Timeout time.Duration `yaml:"timeout"`
	// Verify says how a new password is proven to have arrived.
	Verify Verify `yaml:"verify"`
}

// Verify is a way to prove that Mailu holds a password.
type Verify string

// The values of [Server.Verify].
const (
	// VerifyHash compares the hash that Mailu stores with the password.
	VerifyHash Verify = "hash"
	// VerifyNone trusts Mailu's answer to the change. A rotation whose answer
	// was lost then has to be pushed again to be finished.
	VerifyNone Verify = "none"
)

// Rotation says when and how fast passwords are rotated.
type Rotation struct {
	// Schedule is when a sweep starts, in five cron fields or a descriptor such
	// as @daily.
	Schedule Schedule `yaml:"schedule"`
	// Timezone is where both schedules are read: a name of the tz database, or Local.
	Timezone *time.Location `yaml:"timezone"`
	// Jitter delays each sweep by a random time up to this, 0s to under 24h, so
	// that a fleet of hosts does not meet at Vault on the minute.
	Jitter time.Duration `yaml:"jitter"`
	// Window is how long after its start a sweep may begin new rotations, more
	// than 0s. What is left waits for the next one.
	Window time.Duration `yaml:"window"`
	// DefaultPolicy is for records without a rotation_policy: <n>_days with n
	// from 1 to 100000, or manual.
	DefaultPolicy rotator.Policy `yaml:"default_policy"`
	// Workers is how many tenants are worked on at a time over all servers, 1
	// to 256.
	Workers int `yaml:"workers"`
	// ClaimTTL is how long a rotation under way belongs to the process that
	// began it, 1s to 1h. Short ones are for tests: a claim that lapses while
	// its owner waits for a slow server is taken over, and the password is
	// pushed twice. Long ones delay the recovery after a crash by as much.
	ClaimTTL time.Duration `yaml:"claim_ttl"`
	// Canary sends one tenant per server ahead; the server's others follow only
	// if it went well.
	Canary bool `yaml:"canary"`
	// ShutdownGrace is how long rotations under way may take to finish when the
	// program is told to stop, 0s or more. A service manager must wait longer.
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`
}

// Verification says when the daemon asks Mailu, for every tenant, whether it
// accepts the password in Vault, and what it does where it does not.
type Verification struct {
	// Schedule is when a verification starts, like [Rotation.Schedule] and in its
	// time zone, with its jitter and window; empty means never.
	Schedule Schedule `yaml:"schedule"`
	// Repair lets it write: finish what is half-finished, and bring Vault and
	// Mailu back together where they drifted apart.
	Repair bool `yaml:"repair"`
}

// Password is the recipe for new passwords. Together the fields must give at
// least 128 bits of entropy, which is computed from them.
type Password struct {
	// Length is in characters, up to 128.
	Length int `yaml:"length"`
	// Digits is exactly how many of them are digits, 0 or more.
	Digits int `yaml:"digits"`
	// Symbols is exactly how many of them are symbols, 0 or more.
	Symbols int `yaml:"symbols"`
	// Alphabet is what to choose from: printable ASCII, no space, each
	// character once. What is neither letter nor digit counts as a symbol.
	Alphabet string `yaml:"alphabet"`
}

// Recipe is the same in the words of package crypto.
func (p Password) Recipe() crypto.Recipe {
	return crypto.Recipe{Length: p.Length, Digits: p.Digits, Symbols: p.Symbols, Alphabet: p.Alphabet}
}

// Hooks are programs that are run when something happened, with the event as
// JSON on their standard input. They never delay or fail a run.
type Hooks struct {
	// AfterRotation is run for each tenant whose password was replaced.
	AfterRotation Command `yaml:"after_rotation"`
	// OnFailure is run for each tenant that failed, and for a run that could not
	// take place.
	OnFailure Command `yaml:"on_failure"`
	// AfterRun is run once after each sweep and verification.
	AfterRun Command `yaml:"after_run"`
	// Timeout ends a program, with all that it started, 1s to 10m.
	Timeout time.Duration `yaml:"timeout"`
}

// Command is the absolute path of a program and its arguments; no shell is
// involved. Empty means none.
type Command []string

// String is for people.
func (c Command) String() string { return strings.Join(c, " ") }

// Log says what is logged, to stderr.
type Log struct {
	// Level is the least level that is logged.
	Level LogLevel `yaml:"level"`
	// Format is how an entry looks.
	Format LogFormat `yaml:"format"`
}

// LogLevel is the importance of a log entry.
type LogLevel string

// The values of [Log.Level].
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the look of a log entry.
type LogFormat string

// The values of [Log.Format].
const (
	LogAuto    LogFormat = "auto" // console on a terminal, else json
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

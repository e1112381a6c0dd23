// Package config turns one YAML file and four environment variables into a [Config]
// that the rest of the program uses without further checks: names are checked against
// the known ones, values are parsed into their types, relative paths are made absolute,
// and everything that can be found wrong without opening a connection is an error.
//
// [Load] promises:
//
//   - all errors at once, each with its line where it has one, the key's full
//     path and what to do about it;
//   - no guessing: unknown keys, duplicate keys, wrong types, several documents,
//     anchors, aliases, merge keys and tags are errors;
//   - a file larger than [MaxFileSize], or nested deeper than any configuration
//     needs, costs no more than reading it;
//   - secrets are never read from the YAML and no message repeats the content of
//     a file that holds one. A key such as "token" is answered with the name of
//     the key that takes a file.
//
// Files with secrets are named here, but their users open them with [ReadSecret];
// [Config.CheckFiles] tries all of them.
//
// The package knows nothing about the Vault and Mailu clients and must not import them:
// they receive values from it.
package config

//go:generate go run ./reference . ../../docs/configuration.md

import (
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Config is the whole configuration, as [Load] returns it: complete, parsed and
// valid.
//
// Everything about a key is declared at its field: the tag yaml has its name; oneof its
// allowed values; range its limits, which are also enforced for numbers and durations;
// default the default where [Default] has no value; type the kind of value where the Go
// type does not show it. The comment of a field is its description in
// docs/configuration.md, whose tables are generated from all this.
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
	// Listen is where the daemon answers for metrics, probes and its status page.
	Listen Listen `yaml:"listen"`
	// Hooks are programs to run when something happened.
	Hooks Hooks `yaml:"hooks"`
	// Cluster spreads the work over several hosts.
	Cluster Cluster `yaml:"cluster"`
	// Log says what is logged and how it looks.
	Log Log `yaml:"log"`
}

// Vault is the connection to HashiCorp Vault and the place of the secrets in it.
type Vault struct {
	// Vault's URL, without `/v1` and `/ui`. A path is that of a proxy in front of it.
	Address string `yaml:"address" type:"URL" default:"required, or VAULT_ADDR" range:"https; http to loopback only"`
	// More nodes of the same cluster. While one cannot serve, the next is asked. Not needed
	// where `vault.address` is a load balancer's, or a name with the addresses of all nodes.
	OtherAddresses []string `yaml:"other_addresses" type:"list of URL" default:"none" range:"as vault.address, of other hosts or ports"`
	// Vault Enterprise, HCP and OpenBao only.
	Namespace string `yaml:"namespace" type:"path in Vault" default:"the root namespace, or VAULT_NAMESPACE" range:"may be empty"`
	// Certificate authorities to trust instead of the system's.
	CAFile string `yaml:"ca_file" default:"the system's, or VAULT_CACERT" range:"PEM"`
	// CAFileFrom is VAULT_CACERT where that gave CAFile, else empty. It has no
	// key in the file.
	CAFileFrom string `yaml:"-"`
	// Auth is how the program logs in.
	Auth Auth `yaml:"auth"`
	// The KV version 2 engine.
	Mount string `yaml:"mount" type:"path in Vault" range:"not empty"`
	// The folder that has one folder per tenant.
	Prefix string `yaml:"prefix" type:"path in Vault" range:"not empty"`
	// The last part: `{mount}/{prefix}/{tenant_id}/{leaf}`.
	Leaf string `yaml:"leaf" type:"name" range:"no slash"`
	// Transit names the master key.
	Transit Transit `yaml:"transit"`
}

// Auth is the login to Vault. The tag methods has the methods that use a field, with !
// where they require it. Others must leave it out: it would seem to have an effect.
type Auth struct {
	// How to log in; each method needs keys of its own.
	Method AuthMethod `yaml:"method" oneof:"token,token_file,approle,kubernetes,cert"`
	// A Vault token that another program renews. Read at every login.
	TokenFile string `yaml:"token_file" methods:"token_file!" default:"required by token_file" range:"one line"`
	// The AppRole role-id.
	RoleIDFile string `yaml:"role_id_file" methods:"approle!" default:"required by approle" range:"one line"`
	// The AppRole secret-id, or the token that wraps it.
	SecretIDFile string `yaml:"secret_id_file" methods:"approle!" default:"required by approle" range:"one line"`
	// The file holds a response-wrapping token, which is unwrapped once: each restart
	// needs a new one.
	SecretIDWrapped bool `yaml:"secret_id_wrapped" methods:"approle" range:"method approle"`
	// The role to log in as. With cert, Vault otherwise picks the role that
	// matches.
	Role string `yaml:"role" methods:"kubernetes!,cert" type:"name" default:"required by kubernetes, optional for cert" range:"no slash"`
	// The token that Kubernetes issues, by default
	// `/var/run/secrets/kubernetes.io/serviceaccount/token`.
	JWTFile string `yaml:"jwt_file" methods:"kubernetes" default:"the pod's service account token" range:"method kubernetes; one line"`
	// The client certificate with its chain.
	CertFile string `yaml:"cert_file" methods:"cert!" default:"required by cert" range:"PEM"`
	// Its private key.
	KeyFile string `yaml:"key_file" methods:"cert!" default:"required by cert" range:"PEM"`
	// Where the method is mounted, without `auth/`.
	Mount string `yaml:"mount" methods:"approle,kubernetes,cert" type:"path in Vault" default:"the method's name" range:"methods approle, kubernetes, cert"`
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
	// The Transit engine.
	Mount string `yaml:"mount" type:"path in Vault" range:"not vault.mount"`
	// The master key: exportable, aes256-gcm96.
	Key string `yaml:"key" type:"name" range:"no slash"`
}

// Mailu is what is known about the mail servers.
type Mailu struct {
	// Servers has at least one entry and no two of the same origin. No token is ever
	// sent to an origin that is not listed.
	Servers []Server `yaml:"servers"`
}

// Server is one Mailu server.
type Server struct {
	// Scheme, host and port of the tenants' `webmail_url`. A path is ignored.
	Origin rotator.Origin `yaml:"origin" default:"required" range:"every entry another one; https, or http to loopback, or allow_http"`
	// Base of the admin API.
	APIURL string `yaml:"api_url" type:"URL" default:"{origin}/api/v1" range:"like origin"`
	// The server's `API_TOKEN`. After five wrong ones the server blocks our address for
	// an hour.
	TokenFile string `yaml:"token_file" default:"required" range:"one line"`
	// Certificate authorities to trust instead of the system's.
	CAFile string `yaml:"ca_file" default:"the system's" range:"PEM"`
	// Permits plain http to other hosts. Token and passwords are then readable on the
	// network.
	AllowHTTP bool `yaml:"allow_http"`
	// Concurrent requests. Each costs the server's single admin process about 0.3 s of
	// hashing, time that logins need too; more than 1 is faster only on several cores.
	// Entries with the same API host share the lowest limit.
	MaxConcurrent int `yaml:"max_concurrent" range:"1 to 64"`
	// Time limit of one request.
	Timeout time.Duration `yaml:"timeout" range:"1s to 5m, less than rotation.claim_ttl"`
	// How to verify that Mailu has a new password: by the hash that Mailu stores, or
	// not at all.
	Verify Verify `yaml:"verify" oneof:"hash,none"`
	// Login names mail services for real logins.
	Login Login `yaml:"login"`
}

// Login names the mail services of a server at which proven passwords are tried in a real
// login, over TLS by the authorities of the entry.
type Login struct {
	// Where users send mail. One new password of each run and five of each verification
	// are tried there, see [logins](commands.md#logins). Ports 587 and 143 begin with
	// STARTTLS, others with TLS, unless `starttls://` is written before host:port.
	SMTP string `yaml:"smtp" default:"none" type:"host:port" range:"not port 25, where Mailu accepts no login"`
	// Where users read mail, likewise.
	IMAP string `yaml:"imap" default:"none" type:"host:port" range:"like smtp"`
}

// Verify is a way to verify that Mailu has a password.
type Verify string

// The values of [Server.Verify].
const (
	// VerifyHash compares the hash that Mailu stores with the password.
	VerifyHash Verify = "hash"
	// VerifyNone trusts Mailu's answer to the change. If the answer was lost, the
	// rotation must push again.
	VerifyNone Verify = "none"
)

// Rotation says when and how fast passwords are rotated.
type Rotation struct {
	// When a sweep starts. Quote a leading `*`. Sunday is 0 or 7. A time that summer time
	// skips runs right after that hour; one that occurs twice runs once. `@every` counts
	// from 00:00 UTC, `@every 168h` from Monday. A daemon that starts within `jitter` and
	// `window` of the last scheduled time begins that sweep.
	Schedule Schedule `yaml:"schedule" range:"five cron fields, @daily and the like, @every 6h (1s or more); no time zone in it"`
	// Time zone of both schedules.
	Timezone *time.Location `yaml:"timezone" range:"UTC, Local, names of the tz database"`
	// Largest random delay of a sweep or verification, so that hosts do not start together.
	Jitter time.Duration `yaml:"jitter" range:"0s to less than 24h"`
	// How long after its start a sweep may begin new rotations.
	Window time.Duration `yaml:"window" range:"more than 0s"`
	// For records without a `rotation_policy`.
	DefaultPolicy rotator.Policy `yaml:"default_policy" range:"1_days to 100000_days, manual"`
	// The largest part of its policy by which a password may be rotated early, so that
	// tenants that were imported or rotated on one day spread out.
	Spread rotator.Spread `yaml:"spread" type:"share" range:"0% to 50%; 0% is off"`
	// Requests for records that this process sends to Vault at a time, over all servers.
	Workers int `yaml:"workers" range:"1 to 256"`
	// How long a rotation belongs to the process that began it. Below 40 seconds there is
	// no margin for hosts whose clocks differ, and the password may be pushed twice at a
	// slow server. A longer claim delays recovery after a crash.
	ClaimTTL time.Duration `yaml:"claim_ttl" range:"1s to 1h"`
	// One tenant per server goes first; the others follow if it succeeded.
	Canary bool `yaml:"canary"`
	// How long running rotations may take after SIGTERM.
	// `TimeoutStopSec=` of systemd must be longer.
	ShutdownGrace time.Duration `yaml:"shutdown_grace" range:"0s or more"`
}

// Verification says when the daemon checks for every tenant whether Mailu accepts the
// password in Vault, and what it does if Mailu does not.
type Verification struct {
	// When a verification starts. It runs after a sweep, never beside one.
	Schedule Schedule `yaml:"schedule" range:"like rotation.schedule; empty turns it off"`
	// Lets it write, as `verify --repair` does.
	Repair bool `yaml:"repair"`
}

// Password is the recipe for new passwords. Together the fields must give at
// least 128 bits of entropy, which is computed from them.
type Password struct {
	// Total number of characters.
	Length int `yaml:"length" range:"up to 128"`
	// Exact number of digits.
	Digits int `yaml:"digits" range:"0 or more"`
	// Exact number of symbols.
	Symbols int `yaml:"symbols" range:"0 or more"`
	// The allowed characters. These symbols need no quoting in URLs, shells, SMTP AUTH
	// and nginx headers.
	Alphabet string `yaml:"alphabet" range:"printable ASCII, no space, nothing twice"`
}

// Recipe converts p to the type of package crypto.
func (p Password) Recipe() crypto.Recipe {
	return crypto.Recipe{Length: p.Length, Digits: p.Digits, Symbols: p.Symbols, Alphabet: p.Alphabet}
}

// Listen is the daemon's own HTTP listener. It is read-only and shows no secret, but
// names of tenants, users and servers.
type Listen struct {
	// Port 0 picks a free one, which the log names. A socket has mode 0660.
	Address string `yaml:"address" range:"host:port, port 0 to 65535; unix: and an absolute path; empty turns it off"`
	// What callers must present, except for `/healthz` and `/readyz`: `Authorization:
	// Bearer`, or as the password of any user. The listener has no TLS: use a private
	// network, or a proxy on this host.
	TokenFile string `yaml:"token_file" default:"none" range:"one line; required unless the address is loopback or a socket"`
	// Go's profiles at `/debug/pprof/`, for developers.
	PProf bool `yaml:"pprof"`
	// Three additional series per tenant, with the label `tenant`.
	TenantLabel bool `yaml:"tenant_label"`
}

// Hooks are programs that run after events, with the event as JSON on their standard
// input. They never delay or fail a run.
type Hooks struct {
	// For each tenant whose password was replaced.
	AfterRotation Command `yaml:"after_rotation" default:"none" range:"absolute path, arguments"`
	// For each tenant that failed, and for a run that could not start.
	OnFailure Command `yaml:"on_failure" default:"none" range:"absolute path, arguments"`
	// After each sweep and verification.
	AfterRun Command `yaml:"after_run" default:"none" range:"absolute path, arguments"`
	// A hook that takes longer is killed with all its processes.
	Timeout time.Duration `yaml:"timeout" range:"1s to 10m"`
}

// Command is the absolute path of a program and its arguments; no shell is
// involved. Empty means none.
type Command []string

// Log says what is logged, to stderr.
type Log struct {
	// The lowest level that is logged.
	Level LogLevel `yaml:"level" oneof:"debug,info,warn,error"`
	// `auto` is console on a terminal, fields in systemd's journal, else json.
	Format LogFormat `yaml:"format" oneof:"auto,json,console"`
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

// LogFormat is the format of log entries.
type LogFormat string

// The values of [Log.Format].
const (
	LogAuto    LogFormat = "auto" // console on a terminal, fields in the journal, else json
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// ServiceAccountToken is where Kubernetes mounts a pod's token, and the default of
// jwt_file with method kubernetes.
const ServiceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Default returns every default. It is not a valid configuration: the Vault address and
// the Mailu servers have no default (each server starts as [DefaultServer]). Nor have
// fields whose default depends on another one, see [Auth.Mount], [Auth.JWTFile] and
// [Server.APIURL].
func Default() Config {
	recipe := crypto.DefaultRecipe()
	return Config{
		Vault: Vault{
			// The only method that needs nothing but the environment that every Vault
			// user already has.
			Auth:    Auth{Method: AuthToken},
			Mount:   "vault",
			Prefix:  "smtp",
			Leaf:    "admin",
			Transit: Transit{Mount: "transit", Key: "smtp-master"},
		},
		Rotation: Rotation{
			Schedule:      mustParse(ParseSchedule("0 3 * * *")),
			Timezone:      time.UTC,
			Jitter:        10 * time.Minute,
			Window:        6 * time.Hour,
			DefaultPolicy: mustParse(rotator.ParsePolicy("180_days")),
			Workers:       16,
			ClaimTTL:      5 * time.Minute,
			Canary:        true,
			ShutdownGrace: time.Minute,
		},
		Verify: Verification{
			Schedule: mustParse(ParseSchedule("0 5 * * *")), // after the sweep; it costs one request a tenant
		},
		Password: Password{
			Length:   recipe.Length,
			Digits:   recipe.Digits,
			Symbols:  recipe.Symbols,
			Alphabet: recipe.Alphabet,
		},
		// The daemon listens by default because an unmonitored rotator fails silently
		// until a password is too old. The listener is read-only and reachable from
		// this host only; a taken port costs the metrics, not the rotations.
		Listen: Listen{Address: "127.0.0.1:9180"},
		Hooks:  Hooks{Timeout: 30 * time.Second},
		Cluster: Cluster{
			Engine:   EngineNone,
			Prefix:   "MR",
			Replicas: 1,
			Batch:    200,
			AckWait:  30 * time.Second,
		},
		Log: Log{Level: LogInfo, Format: LogAuto},
	}
}

// DefaultServer returns the defaults of one entry of mailu.servers.
func DefaultServer() Server {
	return Server{MaxConcurrent: 1, Timeout: 30 * time.Second, Verify: VerifyHash}
}

func mustParse[T any](value T, err error) T {
	if err != nil {
		panic("config: default does not parse: " + err.Error())
	}
	return value
}

package mailutest

import (
	"runtime"
	"time"
)

// DefaultToken is the API token of a server whose Config names none.
const DefaultToken = "mailutest-api-token"

// Release names a Mailu whose answers differ from the others'.
type Release string

const (
	// Release2024 is 2024.06.57, recorded in testdata/contract.json; all releases since 2024.06.0 answer so.
	Release2024 Release = "2024.06.57"
	// Release20 is the branch 2.0: 500 to a PATCH of an invalid address, and to a POST of a user who is there or is one
	// too many; 400 as the status for what is no domain; no change_pw_next_login.
	Release20 Release = "2.0"
)

// Config describes one server. Its zero value is a Mailu with default settings on a free port of 127.0.0.1, without
// TLS.
type Config struct {
	// Listen is the address to listen on. Default "127.0.0.1:0"; only loopback makes sense.
	Listen string

	// TLS serves https with a certificate for 127.0.0.1, ::1 and localhost of an authority made at start;
	// Server.CAPEM and Server.CAFile give its certificate. Default: plain http.
	TLS bool

	// Token is API_TOKEN. Default DefaultToken. One shorter than four characters is never accepted, as in Mailu.
	Token string

	// APIDisabled is API=false: nginx does not pass /api on, and answers an HTML 404 of its own.
	APIDisabled bool

	// WebmailRedirect is WEBROOT_REDIRECT, set to the webmail in most installations: a disabled API then answers a
	// redirect to it (301) instead of the 404.
	WebmailRedirect bool

	// Release is the Mailu whose answers are given. Default Release2024.
	Release Release

	// Rounds is CREDENTIAL_ROUNDS, the bcrypt cost as a power of two. Default 12 as in Mailu; tests use 4.
	Rounds int

	// HashDelay is added to every hashing, while it holds its worker. Default none.
	HashDelay time.Duration

	// Workers is how many requests are worked on at once; the others wait. Mailu has one gunicorn process with one
	// thread per core. Default: the number of cores.
	Workers int

	// RateLimit is the number in AUTH_RATELIMIT_IP: so many wrong tokens block their network. Default 5; negative: no
	// limit.
	RateLimit int

	// RateLimitWindow is the period in AUTH_RATELIMIT_IP. Default one hour.
	RateLimitWindow time.Duration

	// Now is the clock of the rate limit and of Request.Time. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Release == "" {
		c.Release = Release2024
	}
	if c.Token == "" {
		c.Token = DefaultToken
	}
	if c.Rounds == 0 {
		c.Rounds = 12
	}
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.RateLimit == 0 {
		c.RateLimit = 5
	}
	if c.RateLimitWindow == 0 {
		c.RateLimitWindow = time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

package mailutest

import (
	"runtime"
	"time"
)

// DefaultToken is the default of Config.Token.
const DefaultToken = "mailutest-api-token"

// Release names a Mailu with its own set of answers.
type Release string

const (
	// Release2024 is 2024.06.57, recorded in testdata/contract.json; all releases since 2024.06.0 give the same
	// answers.
	Release2024 Release = "2024.06.57"
	// Release20 is the branch 2.0: 500 to a PATCH of an invalid address, and to a POST of an existing user or of one
	// user too many; an invalid domain has 400 as its status; no change_pw_next_login.
	Release20 Release = "2.0"
)

// Config describes one server. Its zero value is a Mailu with default settings on a free port of 127.0.0.1, without
// TLS.
type Config struct {
	// Listen is the address to listen on. Default "127.0.0.1:0"; only loopback is useful.
	Listen string

	// TLS serves https with a certificate for 127.0.0.1, ::1 and localhost of an authority made at start;
	// Server.CAPEM and Server.CAFile give its certificate. Default: plain http.
	TLS bool

	// Token is API_TOKEN. Default DefaultToken. One shorter than four characters is never accepted, as in Mailu.
	Token string

	// APIDisabled is API=false: nginx does not pass /api on, and answers with its own HTML 404.
	APIDisabled bool

	// WebmailRedirect is WEBROOT_REDIRECT, set to the webmail in most installations: a disabled API then answers a
	// redirect to it (301) instead of the 404.
	WebmailRedirect bool

	// Release selects the Mailu to imitate. Default Release2024.
	Release Release

	// Rounds is CREDENTIAL_ROUNDS, the bcrypt cost as a power of two. Default 12 as in Mailu; tests use 4.
	Rounds int

	// HashDelay is added to every hashing, while it holds its worker. Default none.
	HashDelay time.Duration

	// Workers is the number of concurrently handled requests; others wait. Mailu has one gunicorn process with one
	// thread per core. Default: the number of cores.
	Workers int

	// RateLimit is the number in AUTH_RATELIMIT_IP: that many wrong tokens block their network. Default 5; negative: no
	// limit.
	RateLimit int

	// RateLimitWindow is the period in AUTH_RATELIMIT_IP. Default one hour.
	RateLimitWindow time.Duration

	// UserRateLimit is the number in AUTH_RATELIMIT_USER: that many different wrong passwords block mail logins of a user.
	// They count forever here, in Mailu for a day. Default 50.
	UserRateLimit int

	// RequireTokens is AUTH_REQUIRE_TOKENS: no password is accepted for a mail login.
	RequireTokens bool

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
	if c.UserRateLimit == 0 {
		c.UserRateLimit = 50
	}
	if c.RateLimitWindow == 0 {
		c.RateLimitWindow = time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

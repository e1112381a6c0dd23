package config

import (
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
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
			Schedule: mustParse(ParseSchedule("0 5 * * 0")), // after the sweep, on the quietest day
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
		Log:    Log{Level: LogInfo, Format: LogAuto},
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

package vault

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
)

// The old token's revocation hangs: its lease goes on after it was replaced.
func TestKeeperEndsOnceItsLeaseIsReplaced(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // ends a loop that would go on
	defer cancel()
	old := &lease{ctx: ctx}
	s := &session{ctx: t.Context(), cfg: Config{}.withDefaults(), current: &lease{}, pause: minLoginPause}

	s.succeed(old)

	if ctx.Err() != nil {
		t.Error("the keeper went on until its lease ended")
	}
}

// countedLogin fails at once, as a secret-id file that is gone does.
type countedLogin struct {
	method
	logins int
}

func (c *countedLogin) authenticate(context.Context, *api.Client) (grant, error) {
	c.logins++
	return grant{}, errors.New("no secret-id")
}

func TestKeeperWhoseLoginsFailAtOnceTriesOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		failing := &countedLogin{}
		old := &lease{ctx: ctx, since: time.Now()}
		s := &session{
			ctx: ctx, current: old, pause: minLoginPause, login: &Login{method: failing},
			cfg: Config{Address: "http://127.0.0.1:1"}.withDefaults(),
		}

		s.succeed(old)

		if failing.logins < 55 || failing.logins > 75 {
			t.Errorf("%d logins in an hour", failing.logins)
		}
	})
}

package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// givenToken is a token that was obtained elsewhere, as a value or in a file. This
// package never revokes it.
type givenToken struct{ auth Auth }

func (t *givenToken) authenticate(ctx context.Context, client *api.Client) (grant, error) {
	token, err := t.current()
	if err != nil {
		return grant{}, err
	}
	client.SetToken(token.RevealString())
	defer client.ClearToken()
	self, err := client.Auth().Token().LookupSelfWithContext(ctx)
	if statusOf(err) == 403 {
		return grant{}, fmt.Errorf("%s; %w", t.advice(), oneLine(err))
	}
	if err != nil {
		return grant{}, fmt.Errorf("look up the token: %w", oneLine(err))
	}
	if self == nil || self.Data == nil {
		return grant{}, errors.New("look up the token: vault's answer is empty")
	}
	ttl, err := seconds(self.Data["ttl"])
	if err != nil {
		return grant{}, fmt.Errorf("look up the token: ttl: %w", err)
	}
	renewable, _ := self.Data["renewable"].(bool)
	uses := 0
	if left, ok := self.Data["num_uses"].(json.Number); ok {
		n, _ := left.Int64() // a non-number is no limit
		uses = int(n)
	}
	return grant{token: token, ttl: ttl, renewable: renewable, uses: uses}, nil
}

func (t *givenToken) current() (crypto.Secret, error) {
	if t.auth.Method == MethodTokenFile {
		return readTrimmed(t.auth.ReadSecret, t.auth.TokenFile)
	}
	// A copy: the session wipes it.
	return trimmed("the token", t.auth.Token.Reveal())
}

func (t *givenToken) advice() string {
	if t.auth.Method == MethodTokenFile {
		return fmt.Sprintf("the token in %s is revoked, expired, or lacks the default policy: is the agent that writes it running?", t.auth.TokenFile)
	}
	return "the token is revoked, expired, or lacks the default policy, and method token has no way to get another: put a new one into VAULT_TOKEN, or use another method"
}

func (t *givenToken) wipe() { t.auth.Token.Wipe() }

func seconds(value any) (time.Duration, error) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, errors.New("not a number")
	}
	n, err := number.Int64()
	if err != nil || n < 0 || n > maxLifetime {
		return 0, errors.New("out of range")
	}
	return time.Duration(n) * time.Second, nil
}

package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"mailu-rotator/crypto"
	"mailu-rotator/vault"
)

// operatorLogin is the flag of commands that an operator runs with their own Vault
// token, because the program's policy does not allow what they do.
type operatorLogin struct{ fromEnv bool }

func (l *operatorLogin) register(flags *pflag.FlagSet) {
	flags.BoolVar(&l.fromEnv, "vault-token-from-env", false, "use the token in VAULT_TOKEN instead of the configured login")
}

// apply replaces the fleet's login, if the flag is set. We never revoke an operator's
// token.
func (l *operatorLogin) apply(f *fleet) error {
	if !l.fromEnv {
		return nil
	}
	token := strings.TrimSpace(getenv("VAULT_TOKEN"))
	if token == "" {
		return errors.New("--vault-token-from-env: VAULT_TOKEN is not set: log in to Vault and export it")
	}
	login, err := vault.NewLogin(vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(token)})
	if err != nil {
		return err
	}
	f.login = login
	return nil
}

package config

import (
	"reflect"
	"slices"
	"strings"
)

// need says whether a login method requires, allows or forbids a field.
type need int

const (
	unused need = iota
	optional
	required
)

func authMethods() []AuthMethod {
	return []AuthMethod{AuthToken, AuthTokenFile, AuthAppRole, AuthKubernetes, AuthCert}
}

// authFields maps key names to what the method needs.
func authFields(method AuthMethod) map[string]need {
	switch method {
	case AuthTokenFile:
		return map[string]need{"token_file": required}
	case AuthAppRole:
		return map[string]need{"role_id_file": required, "secret_id_file": required, "secret_id_wrapped": optional, "mount": optional}
	case AuthKubernetes:
		return map[string]need{"role": required, "jwt_file": optional, "mount": optional}
	case AuthCert:
		return map[string]need{"cert_file": required, "key_file": required, "role": optional, "mount": optional}
	}
	return nil
}

func (l *loader) validateAuth(a *Auth) {
	const section = "vault.auth"
	if !slices.Contains(authMethods(), a.Method) || l.isBroken(section+".method") {
		return // what the other fields need depends on it
	}
	fields, value := authFields(a.Method), reflect.ValueOf(*a)
	for name, i := range keys(value.Type()) {
		if name == "method" {
			continue
		}
		key, set := join(section, name), !value.Field(i).IsZero()
		switch need := fields[name]; {
		case need == required && !set:
			l.reportIn(section, name, "not set: method %s needs it", a.Method)
		case need == unused && set:
			l.report(key, "method %s does not use it, %s does: remove it or change vault.auth.method", a.Method, usedBy(name))
		}
	}
	if a.Method == AuthToken && a.Token.Empty() {
		l.report(section+".method", "method token takes the token from VAULT_TOKEN, which is not set: set it or choose another method")
	}
	l.validateAuthNames(a)
}

func (l *loader) validateAuthNames(a *Auth) {
	l.segments("vault.auth.mount", &a.Mount, optional)
	if rest, found := strings.CutPrefix(a.Mount, "auth/"); found {
		l.report("vault.auth.mount", "leave \"auth/\" out: write %s", rest)
	}
	if a.Role != "" {
		l.segment("vault.auth.role", &a.Role)
	}
}

func usedBy(field string) string {
	var methods []string
	for _, method := range authMethods() {
		if authFields(method)[field] != unused {
			methods = append(methods, string(method))
		}
	}
	return strings.Join(methods, " or ")
}

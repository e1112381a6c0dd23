package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// Method is a way to log in to Vault.
type Method string

// The methods and the fields of [Auth] that each needs.
const (
	MethodToken      Method = "token"      // Token
	MethodTokenFile  Method = "token_file" // TokenFile
	MethodAppRole    Method = "approle"    // RoleIDFile, SecretIDFile; SecretIDWrapped
	MethodKubernetes Method = "kubernetes" // Role, JWTFile
	MethodCert       Method = "cert"       // CertFile, KeyFile; Role
)

// Auth says how to log in. Files are read again at every login, so that renewed ones
// take effect; white space around their content is ignored.
type Auth struct {
	Method Method
	// Mount is where the method is enabled, without "auth/"; empty means the method's
	// own name. It is unused by the token methods.
	Mount string

	Token     crypto.Secret // a ready token
	TokenFile string        // holds a ready token, such as a Vault agent's sink

	RoleIDFile, SecretIDFile string
	// SecretIDWrapped says that SecretIDFile holds a wrapping token. It is unwrapped
	// once and the [Login] keeps the secret-id; another wrapping token in the file is
	// unwrapped again, and a file that has been removed since is no error.
	SecretIDWrapped bool

	Role              string // of Kubernetes, or of the cert method, for which Vault can find it
	JWTFile           string // the service account's token
	CertFile, KeyFile string // the client certificate with its chain and its private key, in PEM

	// ReadSecret reads a file that holds a secret; its owner decides which file
	// modes to accept. It is used for every file here but CertFile, which is
	// public, and JWTFile. Required by token_file, approle and cert.
	ReadSecret func(path string) (crypto.Secret, error)
	// ReadJWT reads JWTFile, whose mode the kubelet decides. Required by kubernetes.
	ReadJWT func(path string) (crypto.Secret, error)
}

// Login is a checked [Auth] together with credentials that can be obtained only once.
// It lives as long as the process and is safe for concurrent use.
type Login struct {
	auth Auth
	// authenticate returns the token; the client has none yet.
	authenticate func(ctx context.Context, client *api.Client) (loginToken, error)
}

// loginToken is a token as a login returns it.
type loginToken struct {
	secret    crypto.Secret
	ttl       time.Duration // 0: it does not expire
	renewable bool
	uses      int // requests until it becomes invalid; 0: no limit
	role      string
	minted    bool // it was issued for us, so we must revoke it
}

// NewLogin checks that the fields that the method needs are set. It opens no file and
// sends no request.
func NewLogin(auth Auth) (*Login, error) {
	auth.Mount = cmp.Or(auth.Mount, string(auth.Method))
	if err := checkPath("auth mount", auth.Mount); err != nil {
		return nil, err
	}
	l := &Login{auth: auth}
	var missing error
	read := auth.ReadSecret
	switch auth.Method {
	case MethodToken:
		l.authenticate, missing = auth.byToken, need("token", !auth.Token.Empty())
	case MethodTokenFile:
		l.authenticate, missing = auth.byToken, need("token_file", auth.TokenFile != "")
	case MethodAppRole:
		l.authenticate = (&appRole{Auth: auth}).authenticate
		missing = errors.Join(need("role_id_file", auth.RoleIDFile != ""), need("secret_id_file", auth.SecretIDFile != ""))
	case MethodKubernetes:
		l.authenticate, read = auth.byKubernetes, auth.ReadJWT
		missing = errors.Join(need("role", auth.Role != ""), need("jwt_file", auth.JWTFile != ""))
	case MethodCert:
		l.authenticate = auth.byCertificate
		missing = errors.Join(need("cert_file", auth.CertFile != ""), need("key_file", auth.KeyFile != ""))
	default:
		return nil, fmt.Errorf("vault auth method %q is not one of token, token_file, approle, kubernetes, cert", auth.Method)
	}
	if missing == nil && read == nil && auth.Method != MethodToken {
		missing = errors.New("no function to read secret files with")
	}
	if missing != nil {
		return nil, fmt.Errorf("vault auth method %s: %w", auth.Method, missing)
	}
	return l, nil
}

// postLogin sends the login request of the minting methods.
func postLogin(ctx context.Context, client *api.Client, mount string, credentials map[string]string) (loginToken, error) {
	path := "auth/" + mount + "/login"
	request, _ := json.Marshal(credentials) // strings always have a JSON form
	defer clear(request)
	// Raw, because the API client's own type omits a token's number of uses.
	body, err := readBody(client.Logical().WriteRawWithContext(ctx, path, request))
	defer clear(body)
	switch {
	case statusOf(err) == 404:
		return loginToken{}, fmt.Errorf("no auth method is enabled at auth/%s: %w", mount, oneLine(err))
	case err != nil:
		return loginToken{}, fmt.Errorf("%s: %w", path, oneLine(err))
	}
	var answer struct {
		Auth *struct {
			ClientToken    string              `json:"client_token"`
			LeaseDuration  int                 `json:"lease_duration"`
			Renewable      bool                `json:"renewable"`
			NumUses        int                 `json:"num_uses"`
			Metadata       map[string]string   `json:"metadata"`
			MFARequirement *api.MFARequirement `json:"mfa_requirement"`
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil { // also for a number that does not fit
		return loginToken{}, fmt.Errorf("%s: vault's answer is not that to a login", path) // the decoder's error may quote it
	}
	auth := answer.Auth
	switch {
	case auth == nil:
		return loginToken{}, fmt.Errorf("%s gave no token: is an auth method enabled at auth/%s?", path, mount)
	case auth.MFARequirement != nil || auth.ClientToken == "":
		return loginToken{}, fmt.Errorf("%s asks for a second factor, which a daemon cannot give: exempt this role", path)
	}
	return loginToken{
		secret:    crypto.SecretFromString(auth.ClientToken),
		ttl:       lifetime(auth.LeaseDuration),
		renewable: auth.Renewable,
		uses:      auth.NumUses,
		role:      cmp.Or(auth.Metadata["role_name"], auth.Metadata["role"], auth.Metadata["cert_name"], "ROLE"),
		minted:    true,
	}, nil
}

// usesError refuses a token with a limited number of uses: a run needs more, and any of
// its steps could lose the token.
type usesError struct {
	uses int
	fix  string
}

func (e *usesError) Error() string {
	return fmt.Sprintf("the token is good for %d requests only (num_uses), and a run needs a token without a limit: %s", e.uses, e.fix)
}

// unlimited returns the command that removes the limit of uses.
func (a Auth) unlimited(role string) string {
	switch a.Method {
	case MethodAppRole, MethodKubernetes:
		return fmt.Sprintf("vault write auth/%s/role/%s token_num_uses=0", a.Mount, role)
	case MethodCert:
		return fmt.Sprintf("vault write auth/%s/certs/%s token_num_uses=0", a.Mount, role)
	}
	return "make it anew without -use-limit"
}

// maxSeconds limits what Vault announces: 136 years, which any clock can add.
const maxSeconds = 1 << 32

// lifetime returns the lifetime that Vault announced, limited to the valid range.
func lifetime(seconds int) time.Duration {
	return time.Duration(min(max(seconds, 0), maxSeconds)) * time.Second
}

// readTrimmed reads a secret file; editors and agents append a newline.
func readTrimmed(read func(path string) (crypto.Secret, error), path string) (crypto.Secret, error) {
	raw, err := read(path)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer raw.Wipe()
	return trimmed(path, raw.Reveal())
}

func trimmed(path string, raw []byte) (crypto.Secret, error) {
	content := bytes.Clone(bytes.TrimSpace(raw))
	if len(content) == 0 {
		return crypto.Secret{}, fmt.Errorf("%s is empty", path)
	}
	return crypto.NewSecret(content), nil
}

func need(field string, present bool) error {
	if present {
		return nil
	}
	return fmt.Errorf("%s is missing", field)
}

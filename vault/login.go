package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
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
	uses      int    // requests until it becomes invalid; 0: no limit
	unlimited string // the command that removes that limit
	minted    bool   // it was issued for us, so we must revoke it
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

// post sends the login request of the minting methods.
func (a Auth) post(ctx context.Context, client *api.Client, credentials map[string]string) (loginToken, error) {
	path := "auth/" + a.Mount + "/login"
	request, _ := json.Marshal(credentials) // strings always have a JSON form
	defer clear(request)
	// Raw, because the API client's own type omits a token's number of uses.
	body, err := readBody(client.Logical().WriteRawWithContext(ctx, path, request))
	defer clear(body)
	switch {
	case statusOf(err) == 404:
		return loginToken{}, fmt.Errorf("no auth method is enabled at auth/%s: %w", a.Mount, oneLine(err))
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
		return loginToken{}, fmt.Errorf("%s gave no token: is an auth method enabled at auth/%s?", path, a.Mount)
	case auth.MFARequirement != nil || auth.ClientToken == "":
		return loginToken{}, fmt.Errorf("%s asks for a second factor, which a daemon cannot give: exempt this role", path)
	}
	roles := "role"
	if a.Method == MethodCert {
		roles = "certs"
	}
	role := cmp.Or(auth.Metadata["role_name"], auth.Metadata["role"], auth.Metadata["cert_name"], "ROLE")
	return loginToken{
		secret:    crypto.SecretFromString(auth.ClientToken),
		ttl:       lifetime(auth.LeaseDuration),
		renewable: auth.Renewable,
		uses:      auth.NumUses,
		unlimited: fmt.Sprintf("vault write auth/%s/%s/%s token_num_uses=0", a.Mount, roles, role),
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

// errIntercepted is returned for a wrapping token that was already used.
var errIntercepted = errors.New("the wrapping token was used before, or has expired: if no earlier start of this program used it, somebody else has the secret-id now; destroy that secret-id and deliver a new wrapped one")

// appRole logs in by role-id and secret-id.
type appRole struct {
	Auth

	mu        sync.Mutex    // one unwrapping at a time; guards the fields below
	unwrapped crypto.Secret // the wrapping token of secretID
	secretID  crypto.Secret // kept for the process's life: it can be unwrapped only once
}

func (a *appRole) authenticate(ctx context.Context, client *api.Client) (loginToken, error) {
	roleID, err := readTrimmed(a.ReadSecret, a.RoleIDFile)
	if err != nil {
		return loginToken{}, fmt.Errorf("role-id: %w", err)
	}
	defer roleID.Wipe()
	secretID, err := a.currentSecretID(ctx, client)
	if err != nil {
		return loginToken{}, fmt.Errorf("secret-id: %w", err)
	}
	defer secretID.Wipe()
	return a.post(ctx, client, map[string]string{
		"role_id":   roleID.RevealString(),
		"secret_id": secretID.RevealString(),
	})
}

// currentSecretID returns a copy; the caller must wipe it.
func (a *appRole) currentSecretID(ctx context.Context, client *api.Client) (crypto.Secret, error) {
	content, err := readTrimmed(a.ReadSecret, a.SecretIDFile)
	if err == nil && !a.SecretIDWrapped {
		return content, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !a.secretID.Empty():
		// A wrapping token is often removed after use.
	case err != nil:
		return crypto.Secret{}, err
	case !content.Equal(a.unwrapped):
		if err := a.unwrap(ctx, client, content); err != nil {
			return crypto.Secret{}, err
		}
	}
	return crypto.SecretFromString(a.secretID.RevealString()), nil
}

// unwrap first checks the creation path of the wrapped answer: an attacker who
// intercepts a wrapping token can replace it, but not with one of this path.
func (a *appRole) unwrap(ctx context.Context, client *api.Client, wrapping crypto.Secret) error {
	token := map[string]any{"token": wrapping.RevealString()}
	info, err := client.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", token)
	if err != nil {
		return unwrapError(err)
	}
	origin := textOf(info, "creation_path")
	if !strings.HasPrefix(origin, "auth/"+a.Mount+"/role/") || !strings.HasSuffix(origin, "secret-id") {
		return fmt.Errorf("the wrapping token was made by %q and not by auth/%s/role/<role>/secret-id: treat it as forged", origin, a.Mount)
	}
	secret, err := client.Logical().UnwrapWithContext(ctx, wrapping.RevealString())
	client.ClearToken() // unwrapping leaves the wrapping token in the client
	if err != nil {
		return unwrapError(err)
	}
	id := textOf(secret, "secret_id")
	if id == "" {
		return errors.New("the wrapped answer holds no secret_id")
	}
	a.secretID.Wipe()
	a.unwrapped, a.secretID = wrapping, crypto.SecretFromString(id)
	return nil
}

func unwrapError(err error) error {
	if says(err, "wrapping token is not valid or does not exist") || statusOf(err) == 403 {
		return fmt.Errorf("%w (%w)", errIntercepted, oneLine(err))
	}
	return fmt.Errorf("unwrap: %w", oneLine(err))
}

// byToken takes a token that was obtained elsewhere, as a value or in a file. This
// package never revokes it.
func (a Auth) byToken(ctx context.Context, client *api.Client) (loginToken, error) {
	var token crypto.Secret
	var err error
	var advice string
	if a.Method == MethodTokenFile {
		token, err = readTrimmed(a.ReadSecret, a.TokenFile)
		advice = fmt.Sprintf("the token in %s is revoked, expired, or lacks the default policy: is the agent that writes it running?", a.TokenFile)
	} else {
		token, err = trimmed("the token", a.Token.Reveal()) // a copy: the session wipes it
		advice = "the token is revoked, expired, or lacks the default policy, and method token has no way to get another: put a new one into VAULT_TOKEN, or use another method"
	}
	if err != nil {
		return loginToken{}, err
	}
	client.SetToken(token.RevealString())
	defer client.ClearToken()
	body, err := readBody(client.Logical().ReadRawWithContext(ctx, lookupSelf))
	defer clear(body)
	if statusOf(err) == 403 {
		return loginToken{}, fmt.Errorf("%s; %w", advice, oneLine(err))
	}
	if err != nil {
		return loginToken{}, fmt.Errorf("look up the token: %w", oneLine(err))
	}
	var answer struct{ Data *identity }
	if json.Unmarshal(body, &answer) != nil || !answer.Data.valid() { // the decoder's error may quote it
		return loginToken{}, errors.New("look up the token: vault's answer is not that to a lookup")
	}
	self := answer.Data
	return loginToken{secret: token, ttl: self.ttl(), renewable: self.Renewable, uses: self.NumUses, unlimited: "make it anew without -use-limit"}, nil
}

// byKubernetes uses a service account's token, which the kubelet renews in its file
// about every hour.
func (a Auth) byKubernetes(ctx context.Context, client *api.Client) (loginToken, error) {
	jwt, err := readTrimmed(a.ReadJWT, a.JWTFile)
	if err != nil {
		return loginToken{}, fmt.Errorf("service account token: %w", err)
	}
	defer jwt.Wipe()
	return a.post(ctx, client, map[string]string{
		"role": a.Role,
		"jwt":  jwt.RevealString(),
	})
}

// byCertificate uses the TLS client certificate that the connection presents.
func (a Auth) byCertificate(ctx context.Context, client *api.Client) (loginToken, error) {
	return a.post(ctx, client, map[string]string{"name": a.Role})
}

// clientCertificate is the certificate of every connection, nil for most methods. It
// reads both files again: certificates are renewed under a running daemon.
func (a Auth) clientCertificate() (*tls.Certificate, error) {
	if a.Method != MethodCert {
		return nil, nil
	}
	chain, err := os.ReadFile(a.CertFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := a.ReadSecret(a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate's key: %w", err)
	}
	defer key.Wipe()
	pair, err := tls.X509KeyPair(chain, key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", a.CertFile, a.KeyFile, err)
	}
	return &pair, nil
}

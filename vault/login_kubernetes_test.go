package vault_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

const (
	kubernetesLoginOf = "/v1/auth/k8s/login"
	clusterAudience   = "https://kubernetes.default.svc"
	accountUID        = "4d2b7a1e-5a5e-4c0e-9a43-7e641f2a3b4c"
	reviewerToken     = "reviewer"
)

func TestLoginByKubernetesWorksUnderThePolicyAndRevokesItsToken(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	jwt := serviceAccountToken(t, "rotator", "only")
	auth := f.kubernetes(t, newCluster(t, jwt), file(t, "jwt", jwt+"\n"))

	must(t, work(t.Context(), f.config, auth))

	if n := f.proxy.Count("PUT", revokeOf); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
}

func TestLoginByKubernetesReadsTheTokenAnew(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	first, second := serviceAccountToken(t, "rotator", "first"), serviceAccountToken(t, "rotator", "second")
	cluster := newCluster(t, first)
	path := file(t, "jwt", first)
	login, err := vault.NewLogin(f.kubernetes(t, cluster, path))
	must(t, err)
	_, err = openWith(t, f.config, login)
	must(t, err)

	cluster.accept(second)
	_, stale := openWith(t, f.config, login)
	must(t, os.WriteFile(path, []byte(second), 0o600))
	_, fresh := openWith(t, f.config, login)

	if !errors.Is(stale, rotator.ErrForbidden) || !strings.Contains(stale.Error(), "auth/k8s/login") || strings.Contains(stale.Error(), first) {
		t.Errorf("the token of before: %v", stale)
	}
	must(t, fresh)
}

func TestKubernetesSessionThatLostItsTokenGoesOnWithTheRenewedJWT(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	first, second := serviceAccountToken(t, "rotator", "first"), serviceAccountToken(t, "rotator", "second")
	cluster := newCluster(t, first)
	path := file(t, "jwt", first)
	c := f.open(t, f.kubernetes(t, cluster, path))
	cluster.accept(second)
	must(t, os.WriteFile(path, []byte(second), 0o600))
	must(t, f.root.Sys().RevokePrefixWithContext(t.Context(), "auth/k8s/login"))

	_, err := c.Read(t.Context(), tenant)

	must(t, err)
	if n := f.proxy.Count("PUT", kubernetesLoginOf); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestRefusedKubernetesLoginSaysWhatVaultSaid(t *testing.T) {
	f := newFixture(t)
	good, stranger := serviceAccountToken(t, "rotator", "good"), serviceAccountToken(t, "stranger", "good")
	auth := f.kubernetes(t, newCluster(t, good, stranger), file(t, "jwt", good))
	for name, c := range map[string]struct {
		role, jwt, says string
	}{
		"another service account": {"rotator", stranger, "service account name not authorized"},
		"unknown role":            {"nobody", good, `invalid role name "nobody"`},
		"no JWT":                  {"rotator", "not-a-jwt", "permission denied"},
		"forged JWT":              {"rotator", serviceAccountToken(t, "rotator", "forged"), "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := auth
			auth.Role, auth.JWTFile = c.role, file(t, "jwt", c.jwt)

			_, err := f.tryOpen(t, auth)

			if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.jwt) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// kubernetes enables Kubernetes auth at a mount other than the default, with a role
// that has the printed policy and is bound to the service account rotator, and returns
// its login.
func (f *fixture) kubernetes(t *testing.T, k *cluster, jwtFile string) vault.Auth {
	t.Helper()
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	must(t, f.root.Sys().EnableAuthWithOptionsWithContext(t.Context(), "k8s", &api.EnableAuthOptions{Type: "kubernetes"}))
	f.write(t, "auth/k8s/config", map[string]any{
		"kubernetes_host":    k.server.URL,
		"kubernetes_ca_cert": k.caCert(),
		"token_reviewer_jwt": reviewerToken,
		// Tests may run in a pod, whose files Vault would use.
		"disable_local_ca_jwt": true,
	})
	f.write(t, "auth/k8s/role/rotator", map[string]any{
		"bound_service_account_names":      "rotator",
		"bound_service_account_namespaces": "mail",
		"audience":                         clusterAudience,
		"token_policies":                   "rotator",
		"token_ttl":                        "1h",
	})
	return vault.Auth{Method: vault.MethodKubernetes, Mount: "k8s", Role: "rotator", JWTFile: jwtFile, ReadJWT: readSecret}
}

// cluster is a Kubernetes API server as far as Vault needs one: it reviews tokens.
// Everything else in these tests is real.
type cluster struct {
	server *httptest.Server

	mu    sync.Mutex // guards valid
	valid []string
}

func newCluster(t *testing.T, valid ...string) *cluster {
	t.Helper()
	k := &cluster{valid: valid}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", k.review)
	k.server = httptest.NewTLSServer(mux)
	t.Cleanup(k.server.Close)
	return k
}

// accept makes these the only valid service account tokens.
func (k *cluster) accept(valid ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.valid = valid
}

func (k *cluster) caCert() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.server.Certificate().Raw}))
}

// tokenReview is authentication.k8s.io/v1 TokenReview.
type tokenReview struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Spec       struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences,omitempty"`
	} `json:"spec"`
	Status reviewStatus `json:"status"`
}

type reviewStatus struct {
	Authenticated bool         `json:"authenticated,omitempty"`
	User          reviewedUser `json:"user"`
	Audiences     []string     `json:"audiences,omitempty"`
	Error         string       `json:"error,omitempty"`
}

type reviewedUser struct {
	Username string   `json:"username,omitempty"`
	UID      string   `json:"uid,omitempty"`
	Groups   []string `json:"groups,omitempty"`
}

func (k *cluster) review(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+reviewerToken {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
		return
	}
	var review tokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Kind, review.APIVersion = "TokenReview", "authentication.k8s.io/v1"
	review.Status = k.status(review.Spec.Token, review.Spec.Audiences)
	w.WriteHeader(http.StatusCreated) // a review is a created object
	_ = json.NewEncoder(w).Encode(review)
}

// status refuses as the API server does: in the answer, not with an HTTP error.
func (k *cluster) status(token string, audiences []string) reviewStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.valid, token) {
		return reviewStatus{Error: "[invalid bearer token, Token has been invalidated]"}
	}
	if !slices.Contains(audiences, clusterAudience) {
		return reviewStatus{Error: fmt.Sprintf("[invalid bearer token, token audiences [%q] is invalid for the target audiences %q]", clusterAudience, audiences)}
	}
	return reviewStatus{
		Authenticated: true,
		User: reviewedUser{
			Username: "system:serviceaccount:mail:rotator",
			UID:      accountUID,
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:mail", "system:authenticated"},
		},
		Audiences: []string{clusterAudience},
	}
}

// serviceAccountToken is a token as the kubelet projects it, distinguished from others
// of the account by its id. Its signature is invalid: Vault, unless it has the
// cluster's keys, leaves that check to the review.
func serviceAccountToken(t *testing.T, account, id string) string {
	t.Helper()
	part := func(content map[string]any) string {
		text, err := json.Marshal(content)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now()
	return part(map[string]any{"alg": "RS256", "kid": "k"}) + "." + part(map[string]any{
		"iss": clusterAudience,
		"aud": []string{clusterAudience},
		"sub": "system:serviceaccount:mail:" + account,
		"jti": id,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      "mail",
			"serviceaccount": map[string]any{"name": account, "uid": accountUID},
			"pod":            map[string]any{"name": account + "-0", "uid": "8f0b6a9a-7f1f-4b11-8c55-9a436f1c2f0e"},
		},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte("not a signature"))
}

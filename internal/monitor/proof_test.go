package monitor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
)

func guarded(token string) http.Handler {
	return guard("tcp", digestOf(crypto.SecretFromString(token)), http.NotFoundHandler())
}

func asked(p Prover) *http.Request {
	req := httptest.NewRequest(http.MethodGet, "http://localhost"+OutcomesPath, nil)
	p.Sign(req)
	return req
}

func answer(h http.Handler, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// The handler behind the guard answers 404.
func TestProofStandsForTheTokenOnceAndBriefly(t *testing.T) {
	token := crypto.SecretFromString("token")
	tests := map[string]struct {
		ask  func(h http.Handler) *http.Request
		want int
	}{
		"a proof": {func(http.Handler) *http.Request { return asked(NewProver(token)) }, 404},
		"of another token": {func(http.Handler) *http.Request {
			return asked(NewProver(crypto.SecretFromString("other")))
		}, 401},
		"again": {func(h http.Handler) *http.Request {
			req := asked(NewProver(token))
			answer(h, req)
			return req
		}, 401},
		"again, after a while and another": {func(h http.Handler) *http.Request {
			req := asked(NewProver(token))
			answer(h, req)
			time.Sleep(proofLife - time.Second)
			answer(h, asked(NewProver(token)))
			return req
		}, 401},
		"early": {func(http.Handler) *http.Request {
			stamp := time.Now().Add(proofLife + 2*time.Second).Unix()
			return asked(Prover{key: digestOf(token), nonce: fmt.Sprintf("%d.1", stamp)})
		}, 401},
		"for another path": {func(http.Handler) *http.Request {
			req := asked(NewProver(token))
			req.URL.Path = "/metrics"
			return req
		}, 401},
		"late": {func(http.Handler) *http.Request {
			req := asked(NewProver(token))
			time.Sleep(proofLife + 2*time.Second)
			return req
		}, 401},
		"with another number": {func(http.Handler) *http.Request {
			req := asked(NewProver(token))
			proof := req.Header.Get("Authorization")
			req.Header.Set("Authorization", proofScheme+" 1"+proof[len(proofScheme)+1:])
			return req
		}, 401},
		"empty": {func(http.Handler) *http.Request {
			req := asked(NewProver(token))
			req.Header.Set("Authorization", proofScheme+" :")
			return req
		}, 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := guarded("token")

				if got := answer(h, test.ask(h)).Code; got != test.want {
					t.Errorf("status %d, want %d", got, test.want)
				}
			})
		})
	}
}

func TestOnlyWhoKnowsTheTokenIsTrusted(t *testing.T) {
	p := NewProver(crypto.SecretFromString("token"))

	right := answer(guarded("token"), asked(p))
	echo := httptest.NewRecorder()
	echo.Header().Set(proofHeader, asked(p).Header.Get("Authorization"))
	other := answer(guarded("token"), asked(NewProver(crypto.SecretFromString("token"))))

	if !p.Trusts(right.Result()) {
		t.Error("the daemon is not trusted")
	}
	for name, resp := range map[string]*httptest.ResponseRecorder{"echo": echo, "that to another request": other, "none": httptest.NewRecorder()} {
		if p.Trusts(resp.Result()) {
			t.Errorf("trusted: %s", name)
		}
	}
}

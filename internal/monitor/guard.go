package monitor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/peer"
)

// guard requires the token if there is one, or a proof of it ([Prover]). Without a
// token, anyone who can connect may read, except a web page in a browser on this host
// whose server points its own name at this address (DNS rebinding).
func guard(network string, token []byte, next http.Handler) http.Handler {
	known := &proofs{key: token, seen: map[string]time.Time{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case token != nil && !shows(r, token) && !known.accept(w, r):
			w.Header().Add("WWW-Authenticate", `Bearer realm="mailu-rotator"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="mailu-rotator", charset="UTF-8"`)
			http.Error(w, "the token of listen.token_file is needed, as Bearer token or as password", http.StatusUnauthorized)
		case token == nil && network == "tcp" && !isLoopback(r.Host):
			http.Error(w, "without listen.token_file only loopback names are answered, such as localhost or 127.0.0.1", http.StatusMisdirectedRequest)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// shows compares digests in constant time, which reveals nothing about the token, not
// even its length. Prometheus sends a Bearer token; browsers can only send a user and a
// password, and any user is accepted.
func shows(r *http.Request, token []byte) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, given, _ = r.BasicAuth()
	}
	digest := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(digest[:], token) == 1
}

// isLoopback takes the Host header of a request.
func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return peer.IsLoopback(host)
}

const (
	proofScheme = "HMAC-SHA256"
	proofHeader = "Mailu-Rotator-Proof"
	proofLife   = 30 * time.Second // also covers the clock difference of two processes on one host
)

// Prover queries a listener without sending it the token, because another program may
// hold the port while the daemon is down. Each side proves by a message authentication
// code over a nonce that it knows the token.
type Prover struct {
	key   []byte
	nonce string
}

// NewProver returns a Prover for one request. The caller may wipe the token afterwards.
func NewProver(token crypto.Secret) Prover {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return Prover{key: digestOf(token), nonce: fmt.Sprintf("%d.%x", time.Now().Unix(), random)}
}

// Sign adds the proof to a request.
func (p Prover) Sign(req *http.Request) {
	req.Header.Set("Authorization", proofScheme+" "+p.nonce+":"+proofOf(p.key, "asks "+req.URL.Path, p.nonce))
}

// Trusts reports whether the answer comes from a holder of the token.
func (p Prover) Trusts(resp *http.Response) bool {
	return hmac.Equal([]byte(resp.Header.Get(proofHeader)), []byte(proofOf(p.key, "answers", p.nonce)))
}

func proofOf(key []byte, what, nonce string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(what + "\n" + nonce)) // never fails (hash.Hash)
	return hex.EncodeToString(mac.Sum(nil))
}

// proofs accepts each proof once.
type proofs struct {
	key []byte

	mu   sync.Mutex           // guards seen
	seen map[string]time.Time // accepted nonces that have not expired
}

// accept answers a valid proof with its own.
func (p *proofs) accept(w http.ResponseWriter, r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	nonce, proof, _ := strings.Cut(given, ":")
	if scheme != proofScheme || !hmac.Equal([]byte(proof), []byte(proofOf(p.key, "asks "+r.URL.Path, nonce))) {
		return false
	}
	stamp, _, _ := strings.Cut(nonce, ".")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > proofLife || !p.isNew(nonce) {
		return false
	}
	w.Header().Set(proofHeader, proofOf(p.key, "answers", nonce))
	return true
}

func (p *proofs) isNew(nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for old, at := range p.seen {
		if time.Since(at) > 2*proofLife {
			delete(p.seen, old)
		}
	}
	_, before := p.seen[nonce]
	p.seen[nonce] = time.Now()
	return !before
}

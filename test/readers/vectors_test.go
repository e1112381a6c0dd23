package readers

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
)

// imitation is a Vault with one record and one master key, which a real one would not
// take: the key is the test's own.
type imitation struct {
	*httptest.Server

	mu       sync.Mutex
	version  int
	record   map[string]any
	key      []byte
	asked    int
	redirect string // where it sends its clients, unless empty

	contacted atomic.Bool // whoever connected, even with a wrong certificate
}

func newImitation(t *testing.T) *imitation {
	t.Helper()
	v := &imitation{}
	v.Server = httptest.NewUnstartedServer(v)
	v.Config.ConnState = func(net.Conn, http.ConnState) { v.contacted.Store(true) }
	v.StartTLS()
	t.Cleanup(v.Close)
	return v
}

func (v *imitation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	var answer map[string]any
	switch {
	case v.redirect != "":
		http.Redirect(w, r, v.redirect+r.URL.Path, http.StatusTemporaryRedirect)
		return
	case r.URL.Path == "/v1/auth/approle/login":
		answer = map[string]any{"auth": map[string]any{"client_token": "a-token"}}
	case r.Header.Get("X-Vault-Token") != "a-token":
		w.WriteHeader(http.StatusForbidden)
		answer = map[string]any{"errors": []string{"permission denied"}}
	case strings.HasPrefix(r.URL.Path, "/v1/transit/export/"):
		answer = map[string]any{"data": map[string]any{"keys": map[string]any{"1": base64.StdEncoding.EncodeToString(v.key)}}}
	default:
		answer = map[string]any{"data": map[string]any{"data": v.record, "metadata": map[string]any{"version": v.version}}}
	}
	_ = json.NewEncoder(w).Encode(answer) // a client that has gone does not matter
}

// put is a new version of the record.
func (v *imitation) put(key string, fields map[string]any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version++
	v.record, v.key = fields, unhex(key)
}

func (v *imitation) set(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.record[name] = value
}

// exportInstead has another master key exported, as the same version.
func (v *imitation) exportInstead(key []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key = key
}

func (v *imitation) sendTo(url string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.redirect = url
}

// environment is that of readers of the imitation. offered returns the passwords since
// the last call; the mail server accepts them all.
func (v *imitation) environment(t *testing.T) (environment []string, offered func() []string) {
	t.Helper()
	var mu sync.Mutex
	var passwords []string
	mailu := mailutest.Run(t, mailutest.Config{TLS: true})
	submission, err := mailu.AddSubmission(func(_, password string) string {
		mu.Lock()
		defer mu.Unlock()
		passwords = append(passwords, password)
		return "235 2.0.0 OK"
	})
	must(t, err)
	s := &stage{dir: t.TempDir()}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})
	trusted := s.write(t, "trusted.pem", append(authority, mailu.CAPEM()...))
	s.write(t, "role-id", []byte("a-role"))
	s.write(t, "secret-id", []byte("a-secret"))
	return environmentOf(v.URL, s.dir, submission, trusted), func() []string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { passwords = nil }()
		return passwords
	}
}

// vector is an entry of crypto/testdata/envelope.json.
type vector struct {
	Name        string `json:"name"`
	MasterKey   string `json:"master_key_hex"`
	TenantID    string `json:"tenant_id"`
	LastRotated string `json:"last_rotated"`
	Password    string `json:"password"`
	Stored      string `json:"stored"`
}

func (v vector) fields() map[string]any {
	return map[string]any{"username": "admin@example.com", "password": v.Stored, "last_rotated": v.LastRotated, "key_version": 1}
}

func vectors(t *testing.T) (file struct {
	Valid    []vector `json:"valid"`
	MustFail []vector `json:"must_fail"`
}) {
	t.Helper()
	text, err := os.ReadFile("../../crypto/testdata/envelope.json")
	must(t, err)
	must(t, json.Unmarshal(text, &file))
	if len(file.Valid) < 7 || len(file.MustFail) < 12 {
		t.Fatalf("%d valid vectors, %d others", len(file.Valid), len(file.MustFail))
	}
	return file
}

// wrapping has an IV whose hash, which is GCM's first counter, ends in fffffffe. GCM
// counts in the last 32 bits alone; one who takes AES-CTR for it carries into the others.
func wrapping(v vector) vector {
	v.Name, v.Password = "a counter that wraps", "correct horse battery staple, and a third block of it"
	v.Stored = "tW0g0CkPq+AXlVDAe7K05IzlrcehVxIFoU/pqp7AWgnxWdpMQL+uXFbDDA4yummIXam4KI1NjRoyCl5XBeMOp8tT05Bly6YkAtIgJk4Ohz8g8BgTNw=="
	return v
}

// quoted has a password of characters that mean something in shells and in curl's
// configuration.
func quoted(t *testing.T, v vector) vector {
	t.Helper()
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: unhex(v.MasterKey)})
	must(t, err)
	v.Name, v.Password = "a password to quote", `a"b\c\nd'e$f%s g#h*`
	sealed, _, err := ring.Seal(crypto.Binding{TenantID: v.TenantID, LastRotated: v.LastRotated}, crypto.SecretFromString(v.Password))
	must(t, err)
	v.Stored = string(sealed)
	return v
}

// respelled has other spellings of the same bytes, which are refused as well: what is
// stored has one form.
func respelled(v vector) (others []vector) {
	body := strings.TrimRight(v.Stored, "=")
	for name, stored := range map[string]string{
		"no padding":       body,
		"a final newline":  v.Stored + "\n",
		"a newline inside": v.Stored[:40] + "\n" + v.Stored[40:],
		"a space before":   " " + v.Stored,
		"spare bits":       body[:len(body)-1] + string(body[len(body)-1]+1) + "==",
		"base64url":        strings.NewReplacer("+", "-", "/", "_").Replace(v.Stored),
	} {
		other := v
		other.Name, other.Stored = name, stored
		others = append(others, other)
	}
	return others
}

func TestReadersOpenEveryVector(t *testing.T) {
	t.Parallel()
	file := vectors(t)
	for language := range theKit.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			vault := newImitation(t)
			environment, offered := vault.environment(t)
			for _, v := range append(slices.Clone(file.Valid), wrapping(file.Valid[0]), quoted(t, file.Valid[0])) {
				vault.put(v.MasterKey, v.fields())

				theKit.start(t, language, environment...).expect(v.TenantID, "current")

				if got := offered(); len(got) != 1 || got[0] != v.Password {
					t.Errorf("%s: offered %q, want %q", v.Name, got, v.Password)
				}
			}
			for _, v := range append(slices.Clone(file.MustFail), respelled(file.Valid[1])...) {
				vault.put(v.MasterKey, v.fields())

				if took := theKit.start(t, language, environment...).expect(v.TenantID, "failed: "); took >= bound {
					t.Errorf("%s: refused after %s, as if the mail server had done it", v.Name, took)
				}

				if got := offered(); len(got) != 0 {
					t.Errorf("%s: offered %q, want a refusal", v.Name, got)
				}
			}
		})
	}
}

// Opening costs a derivation, so it is done once for each version.
func TestAVersionIsOpenedOnce(t *testing.T) {
	t.Parallel()
	v := vectors(t).Valid[0]
	for language := range theKit.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			vault := newImitation(t)
			environment, offered := vault.environment(t)
			r := theKit.start(t, language, environment...)
			vault.put(v.MasterKey, v.fields())
			r.expect(v.TenantID, "current")

			vault.set("last_rotated", "another")
			vault.exportInstead(make([]byte, crypto.KeySize)) // it would not open again
			r.expect(v.TenantID, "current")

			if got := offered(); len(got) != 2 || got[1] != v.Password {
				t.Errorf("offered %q", got)
			}
			vault.put(v.MasterKey, vault.record)
			r.expect(v.TenantID, "failed: ")
		})
	}
}

// The imitation has a record at every path: a name that leads elsewhere must not be asked.
func TestNamesThatAreNoTenantsAreNotAsked(t *testing.T) {
	t.Parallel()
	for language := range theKit.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			vault := newImitation(t)
			environment, _ := vault.environment(t)
			r := theKit.start(t, language, environment...)

			for _, name := range []string{"", "x", "../" + nobody, "../" + nobody[3:], nobody + "/../x", nobody + "?version=1", nobody + "%2f"} {
				r.expect(name, "failed: ")
			}

			if vault.asked != 0 {
				t.Errorf("vault was asked %d times", vault.asked)
			}
		})
	}
}

const nobody = "00000000-0000-4000-8000-000000000000"

// Who may write a record could write a username that is more than one to a program.
func TestAUsernameNamesNoServer(t *testing.T) {
	t.Parallel()
	v := vectors(t).Valid[0]
	for language := range theKit.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			vault, other := newImitation(t), newImitation(t)
			environment, _ := vault.environment(t)
			fields := v.fields()
			fields["username"] = "admin@example.com\"\nurl = \"" + other.URL + "\"\nuser = \"" + `$(touch a)"'; touch b; '`
			vault.put(v.MasterKey, fields)

			answer, _, err := theKit.start(t, language, environment...).ask(v.TenantID)

			must(t, err)
			other.Close()
			if other.contacted.Load() {
				t.Errorf("another server was called; the reader says %q", answer)
			}
		})
	}
}

func TestReadersFollowNoRedirect(t *testing.T) {
	t.Parallel()
	for language := range theKit.readers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := vectors(t).Valid[0]
			vault, other := newImitation(t), newImitation(t)
			environment, _ := vault.environment(t)
			r := theKit.start(t, language, environment...)
			other.put(v.MasterKey, v.fields())
			vault.put(v.MasterKey, v.fields())
			r.expect(v.TenantID, "current")
			vault.sendTo(other.URL)

			r.expect(v.TenantID, "failed: ")

			other.Close() // it has no request in flight any more
			if other.asked != 0 {
				t.Error("the token was sent to another server")
			}
		})
	}
}

func unhex(s string) []byte {
	raw, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return raw
}

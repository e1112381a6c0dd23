package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// oneAnswer is a server, Vault or another, that gives every request the same answer.
type oneAnswer struct {
	status int
	body   string
	header http.Header
}

func (a oneAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

func (a oneAnswer) client(t *testing.T) *api.Client {
	client, err := newAPIClient(Config{Address: "http://127.0.0.1"}, &api.Config{HttpClient: &http.Client{Transport: a}, DisableRedirects: true})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A record is a document with a version, or an error, and never anything in between.
func FuzzRecordAnswer(f *testing.F) {
	for _, body := range []string{
		`{"data":{"data":{"username":"a@b"},"metadata":{"version":3,"created_time":"2026-01-02T03:04:05.6Z"}}}`,
		`{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2026-01-02T03:04:05Z"}}}`,
		`{"data":{"metadata":{"version":3,"destroyed":true}}}`,
		`{"data":{"metadata":{"version":-1}}}`,
		`{"data":{"metadata":{"version":1e3}}}`,
		`{"data":{"metadata":[]}}`,
		`{"data":null}`,
		`null`,
		``,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		answer := &api.Response{Response: &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}}
		rec, err := recordOf(answer, nil)
		if err != nil {
			return
		}
		doc, err := rec.document()
		if (err == nil) != (doc.Fields != nil && doc.Version > 0) {
			t.Errorf("%+v with error %v", doc, err)
		}
	})
}

// An error answer becomes one short line; text that is not in Vault's form is not
// repeated.
func FuzzErrorAnswer(f *testing.F) {
	f.Add(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`)
	f.Add(400, `{"errors":["check-and-set parameter did not match the current version"]}`)
	f.Add(502, `<html>the page of a proxy, with the s.hunter2hunter2 that was sent</html>`)
	f.Add(503, `{"errors":[]}`)
	f.Add(400, `{"errors":["`+strings.Repeat("ü", 200)+`"]}`)
	f.Add(472, ``)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 400 || status > 599 {
			return
		}
		response := &api.Response{Response: &http.Response{
			StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
			Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "vault.example.com", Path: "/v1/x"}},
		}}
		err := response.Error()
		if err == nil {
			return // a code that Vault gives to a healthy standby
		}
		text := oneLine(err).Error()
		if strings.ContainsAny(text, "\r\n") || len(text) > maxAnswerText+200 || !utf8.ValidString(text) {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		if !strings.Contains(body, `"errors"`) && strings.Contains(text, "hunter2") {
			t.Errorf("it repeats what is not Vault's: %q", text)
		}
	})
}

// A login returns a token with a time to live that can be added to a clock, or an
// error.
func FuzzLoginAnswer(f *testing.F) {
	for _, body := range []string{
		`{"auth":{"client_token":"s.x","lease_duration":3600,"renewable":true}}`,
		`{"auth":{"client_token":"s.x","lease_duration":9223372036854775807}}`,
		`{"auth":{"client_token":"s.x","lease_duration":-1}}`,
		`{"auth":{"client_token":"s.x","mfa_requirement":{"mfa_request_id":"1"}}}`,
		`{"auth":{"client_token":""}}`,
		`{"auth":null}`,
		`{"data":{"ttl":3600,"renewable":true}}`,
		`{"data":{"ttl":1e99,"renewable":1}}`,
		`{"data":{"ttl":"1h"}}`,
		``,
	} {
		f.Add(200, body)
	}
	f.Add(404, `{"errors":["no handler for route"]}`)
	f.Add(403, `{"errors":["permission denied"]}`)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 499 || status == http.StatusTooManyRequests {
			return // other answers are retried
		}
		client := oneAnswer{status: status, body: body}.client(t)
		given := Auth{Method: MethodToken, Token: crypto.SecretFromString("s.hunter2hunter2")}

		for how, login := range map[string]func() (loginToken, error){
			"minted": func() (loginToken, error) { return Auth{Mount: "approle"}.post(t.Context(), client, nil) },
			"given":  func() (loginToken, error) { return given.byToken(t.Context(), client) },
		} {
			g, err := login()
			switch {
			case err != nil && (!g.secret.Empty() || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("%s: %v with error %v", how, g, err)
			case err == nil && (g.secret.Empty() || g.ttl < 0 || g.ttl > 0 && !expiry(now, g.ttl).After(now)):
				t.Errorf("%s: a token for %s", how, g.ttl)
			}
		}
	})
}

// A pause is always finite, whatever Vault asks for.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"7", "-7", "99999999999999999999", "86401", "Wed, 25 Nov 2026 12:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "", "1.5"} {
		f.Add(seed, 1)
	}
	r := retryOf(Config{Workers: 1}.withDefaults())
	f.Fuzz(func(t *testing.T, header string, attempt int) {
		resp := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {header}}}
		if pause := r.pause(max(attempt, 0), resp); pause < r.MinWait/2 || pause > r.MaxWait {
			t.Errorf("%q: a pause of %s, outside %s to %s", header, pause, r.MinWait/2, r.MaxWait)
		}
	})
}

// An answer that asks the client to wait, or to ask another node, is not a refusal.
func TestOnlyAnAnswerForGoodIsForbidden(t *testing.T) {
	for status, forbidden := range map[int]bool{
		400: true, 403: true, 404: true, 405: true,
		408: false, 412: false, 429: false, 472: false, 473: false, 500: false, 502: false, 503: false,
	} {
		err := forbid(fmt.Errorf("log in: %w", &api.ResponseError{StatusCode: status}))

		if errors.Is(err, rotator.ErrForbidden) != forbidden {
			t.Errorf("status %d: forbidden %t, want %t", status, !forbidden, forbidden)
		}
	}
	if err := forbid(&url.Error{Op: "Put", Err: context.DeadlineExceeded}); errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("silence is a refusal: %v", err)
	}
}

func FuzzKeyringNeverQuotesItsInput(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	f.Add(`{"data":{"type":"aes256-gcm96","keys":{"1":"` + key + `","2":"` + key + `"}}}`)
	f.Add(`{"data":{"keys":{"1":"` + key[:20] + `"}}}`)
	f.Add(`{"data":{"keys":{"0":"` + key + `"}}}`)
	f.Add(`{"data":{"keys":{"1":12,"x":null,"01":{}}}}`)
	f.Add(`{"data":{"keys":{"1":"` + key + `\n"}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		ring, err := keyring([]byte(body))

		if (ring == nil) == (err == nil) {
			t.Fatalf("ring %v with error %v", ring, err)
		}
		if err != nil && strings.Contains(err.Error(), key[:20]) {
			t.Errorf("the error quotes the key: %v", err)
		}
		if ring != nil && ring.Newest().Version < 1 {
			t.Errorf("newest version is %d", ring.Newest().Version)
		}
	})
}

func TestOnlyVaultsOwnWordsCount(t *testing.T) {
	for _, raw := range []bool{false, true} {
		err := fmt.Errorf("write: %w", &api.ResponseError{StatusCode: 400, RawError: raw, Errors: []string{"check-and-set parameter did not match"}})

		if got := says(err, "did not match"); got == raw {
			t.Errorf("raw %t: %t", raw, got)
		}
	}
}

func TestVaultsWordsAreCutAtTheirLimit(t *testing.T) {
	for length, cut := range map[int]bool{maxAnswerText: false, maxAnswerText + 1: true} {
		text := oneLine(&api.ResponseError{StatusCode: 400, Errors: []string{strings.Repeat("x", length)}}).Error()

		if strings.HasSuffix(text, "…") != cut || strings.Count(text, "x") != maxAnswerText {
			t.Errorf("%d characters: %q", length, text)
		}
	}
}

func TestWhichErrorsSayNothingAboutTheRecord(t *testing.T) {
	status := func(code int, words ...string) error { return &api.ResponseError{StatusCode: code, Errors: words} }
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"rate limit":            {status(429), true},
		"a performance standby": {status(473), true},
		"sealed":                {status(503, "Vault is sealed"), true},
		"a gateway":             {status(502), true},
		"no leader":             {status(500, "local node not active but active cluster node not found"), true},
		"a damaged record":      {status(500, "could not find version data"), false},
		"forbidden":             {status(403, "permission denied"), false},
		"no answer":             {&url.Error{Op: "Get", Err: io.ErrUnexpectedEOF}, true},
		"no answer in time":     {fmt.Errorf("read: %w", context.DeadlineExceeded), true},
		"no login":              {fmt.Errorf("read: %w", errLogin), true},
		"the caller gave up":    {&url.Error{Op: "Get", Err: context.Canceled}, false},
		"an answer of no use":   {errTooLarge, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isAboutVault(test.err); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestOneCapabilityTooManyIsAWarning(t *testing.T) {
	for held, want := range map[string]rotator.CheckState{
		"read": rotator.CheckOK, "read list": rotator.CheckWarned, "list": rotator.CheckFailed, "deny": rotator.CheckFailed, "root": rotator.CheckOK,
	} {
		n := requirement{name: "may read", rule: "vault/data/x", capabilities: []string{"read"}}

		if got := n.judge(strings.Fields(held), "write the policy"); got.State != want {
			t.Errorf("%s: %+v", held, got)
		}
	}
}

// answered is a client whose every request gets this answer.
func answered(t *testing.T, status int, body string) *Client {
	t.Helper()
	cfg := Config{Mount: "kv"}.withDefaults()
	return &Client{cfg: cfg, session: &session{ctx: t.Context(), cfg: cfg, current: &lease{api: oneAnswer{status: status, body: body}.client(t)}}}
}

func TestOnlyVersion2OfTheKVEngineIsTaken(t *testing.T) {
	for answer, want := range map[string]string{
		`"type":"kv","path":"kv/","options":{"version":"2"}`:     "",
		`"type":"kv","path":"kv/","options":{"version":"1"}`:     "KV version 1",
		`"type":"kv","path":"kv/","options":null`:                "KV version 1",
		`"type":"generic","path":"kv/","options":{}`:             "KV version 1",
		`"type":"cubbyhole","path":"kv/"`:                        `of type "cubbyhole"`,
		`"type":"kv","path":"k/","options":{"version":"2"}`:      "inside the mount k/",
		`"type":"kv","path":"kv/old/","options":{"version":"2"}`: "inside the mount kv/old/",
	} {
		err := answered(t, http.StatusOK, `{"data":{`+answer+`}}`).checkMount(t.Context())

		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestATimeThatVaultDoesNotGiveIsAnError(t *testing.T) {
	for seconds, want := range map[int64]bool{-1: false, 0: false, 1_764_000_000: true} {
		client := oneAnswer{status: http.StatusOK, body: fmt.Sprintf(`{"initialized":true,"sealed":false,"server_time_utc":%d}`, seconds)}.client(t)

		got, err := (&HealthClient{cfg: Config{}.withDefaults(), api: client}).Time(t.Context())

		if (err == nil) != want || want && got.Unix() != seconds {
			t.Errorf("%d: %s, %v", seconds, got, err)
		}
	}
}

func TestALoginThatWantsASecondFactorIsRefused(t *testing.T) {
	client := oneAnswer{status: http.StatusOK, body: `{"auth":{"client_token":"s.x","mfa_requirement":{"mfa_request_id":"1"}}}`}.client(t)

	if token, err := (Auth{Mount: "approle"}).post(t.Context(), client, nil); err == nil || !token.secret.Empty() {
		t.Errorf("got %v, %v", token, err)
	}
}

func TestWhatIsAVersion(t *testing.T) {
	for number, want := range map[json.Number]int{"1": 1, "2147483647": 1<<31 - 1, "0": 0, "-1": 0, "2147483648": 0, "1.5": 0, "": 0} {
		if got, err := versionOf(number); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", number, got, err)
		}
	}
}

func TestPathsThatMeanSomethingElseAreRefused(t *testing.T) {
	for path, want := range map[string]bool{
		"kv": true, "team-1/kv_2": true, "a.b/c..d": true,
		"": false, ".": false, "..": false, "a/./b": false, "a/../b": false, "a//b": false, "/a": false, "a/": false,
		"a*": false, "a+b": false, "{{x}}": false, "a%2fb": false, "a b": false, "ä": false,
	} {
		if err := checkPath("mount", path); (err == nil) != want {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestTheLongestPauseIsNotBelowTheShortest(t *testing.T) {
	if got := (Config{MinWait: time.Minute}).withDefaults(); got.MaxWait != time.Minute {
		t.Errorf("%s to %s", got.MinWait, got.MaxWait)
	}
	if got := (Config{MinWait: time.Second}).withDefaults(); got.MaxWait != defaultMaxWait {
		t.Errorf("%s to %s", got.MinWait, got.MaxWait)
	}
}

func TestWhichMasterKeysAreTaken(t *testing.T) {
	key := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, test := range map[string]struct {
		kind, version, key string
		taken, wrong       bool
	}{
		"as Vault gives it":      {masterKeyType, "1", key(32), true, false},
		"by Vault before 1.14":   {"", "1", key(32), true, false},
		"of another type":        {"chacha20-poly1305", "1", key(32), false, true},
		"a byte too short":       {masterKeyType, "1", key(31), false, true},
		"a byte too long":        {masterKeyType, "1", key(33), false, true},
		"no base64":              {masterKeyType, "1", "?", false, false},
		"a version with a zero":  {masterKeyType, "01", key(32), false, false},
		"a version with a sign":  {masterKeyType, "+1", key(32), false, false},
		"a version that is none": {masterKeyType, "latest", key(32), false, false},
		"a version of zero":      {masterKeyType, "0", key(32), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			ring, err := keyring([]byte(fmt.Sprintf(`{"data":{"type":%q,"keys":{%q:%q}}}`, test.kind, test.version, test.key)))

			if (err == nil) != test.taken || (ring != nil) != test.taken || errors.Is(err, ErrWrongKeyType) != test.wrong {
				t.Errorf("got %v", err)
			}
		})
	}
}

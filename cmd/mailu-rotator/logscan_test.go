package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ledger holds everything that the program printed and all secrets that the tests know,
// and searches the output for the secrets.
type ledger struct {
	mu      sync.Mutex // guards both
	printed []printed
	secrets map[string]string // a secret in one of its forms -> its description
}

type printed struct {
	by   string
	text func() string // called at the end, after the program has ended
}

func (l *ledger) record(by string, text func() string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.printed = append(l.printed, printed{by: by, text: text})
}

// addToken adds a token, password or sealed password.
func (l *ledger) addToken(what, secret string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.secrets == nil {
		l.secrets = map[string]string{}
	}
	for _, form := range forms(secret) {
		l.secrets[form] = what
	}
}

// addKey adds a master key in every form in which bytes are printed.
func (l *ledger) addKey(what string, key []byte) {
	l.addToken(what, string(key))
	l.addToken(what+", Go syntax", strings.Trim(fmt.Sprint(key), "[]"))
}

// forms returns every form in which a secret could appear in a log line, an error or a
// URL. Padding is removed, so that base64 is found inside longer strings.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret) // a string always has a JSON form
	return []string{
		secret,
		strings.Trim(string(quoted), `"`),
		strings.Trim(strconv.Quote(secret), `"`),
		url.QueryEscape(secret),
		url.PathEscape(secret),
		base64.RawStdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
}

// leaks names what was printed where, never the secret itself.
func (l *ledger) leaks() (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.printed {
		text := p.text()
		for form, what := range l.secrets {
			if strings.Contains(text, form) {
				found = append(found, fmt.Sprintf("%s: %s", p.by, what))
			}
		}
	}
	return found
}

func TestLogScanFindsPlantedSecrets(t *testing.T) {
	const password = "pläin \"pass\\word\" +/<%&>"
	key := []byte("0123456789abcdef\x00\xff\xfe!ghijklmnopqr")
	quoted, err := json.Marshal(password)
	must(t, err)

	for name, text := range map[string]string{
		"raw":            "user x has " + password + ".",
		"JSON":           `{"msg":"set","error":` + string(quoted) + `}`,
		"Go":             fmt.Sprintf("%q", password),
		"query":          "GET /?password=" + url.QueryEscape(password),
		"path":           "GET /user/" + url.PathEscape(password) + "/x",
		"base64":         base64.StdEncoding.EncodeToString([]byte(password)),
		"base64 for URL": base64.URLEncoding.EncodeToString([]byte(password)),
		"hex":            fmt.Sprintf("%x", password),
		"key, base64":    base64.StdEncoding.EncodeToString(key),
		"key, hex":       fmt.Sprintf("%X", key),
		"key, bytes":     fmt.Sprintf("{1 %v}", key),
		"key, quoted":    fmt.Sprintf("%q", key),
	} {
		var l ledger
		l.addToken("password", password)
		l.addKey("master key", key)
		l.record(name, func() string { return "before\n" + text + "\nafter" })

		if leaks := l.leaks(); len(leaks) == 0 || strings.Contains(leaks[0], password) {
			t.Errorf("%s: found %q", name, leaks)
		}
	}
}

func TestLogScanFindsNothingInCleanText(t *testing.T) {
	var l ledger
	l.addToken("password", "correct horse battery staple")
	l.record("clean", func() string { return "correct horse, battery staple: [redacted]" })

	if leaks := l.leaks(); leaks != nil {
		t.Errorf("found %q", leaks)
	}
}

func TestLogScanAllowsARevealedPasswordOnce(t *testing.T) {
	const password = `the "first" password`
	for printed, leaks := range map[string]int{
		password: 0,
		"tenant  x\ncurrent password  " + password + "\n":       0,
		`{"tenant": "x", "password": "the \"first\" password"}`: 0,
		password + password: 1,
		"the sealed one: c2VhbGVk\ncurrent password  " + password + "":       1,
		password + " " + base64.StdEncoding.EncodeToString([]byte(password)): 1,
	} {
		var l ledger
		l.addToken("password", password)
		l.addToken("sealed password", "c2VhbGVk")

		_, err := l.recordRevealed("show", printed, password)

		if got := len(l.leaks()); err != nil || got < leaks || leaks == 0 && got > 0 {
			t.Errorf("%q: %d leaks, %v; want %d", printed, got, err, leaks)
		}
	}
}

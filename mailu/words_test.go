package mailu

import (
	"net/url"
	"strings"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// An accepted username is one segment of a path, decoded once or twice.
func FuzzUsername(f *testing.F) {
	for _, seed := range []string{
		"admin@example.com", "a/../b@c", "a%2fb@c", "a@b@c", "@", "ü@bücher.example", "a\r\nX: y@c", "a?b#c;d@e", `a\b@c`, "..@..", strings.Repeat("a", 400) + "@b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, username string) {
		if _, err := rotator.ParseAddress(username); err != nil {
			return
		}
		c := &call{words: wording{user: username}}
		u, err := url.Parse("https://mail.example.com/api/v1" + c.userPath())
		if err != nil {
			t.Fatalf("%q: %v", username, err)
		}
		twice, err := url.PathUnescape(u.Path)
		if err != nil || u.Path != "/api/v1/user/"+username || twice != u.Path || strings.Count(u.Path, "/") != 4 || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q becomes %q, %+v, %v", username, twice, u, err)
		}
	})
}

// Whatever the password, no answer makes an error show it.
func FuzzRedaction(f *testing.F) {
	f.Add("n3w-\"pass<word>&/", `{"echo":"n3w-\"pass<word>&/"}`)
	f.Add("a b+c d%20e", "a+b%2Bc+d%2520e")
	f.Add("pass\x1bword", "pass\x1b[31mword pass\x1bword")
	f.Add("redactedredacted", "redactedredactedredacted")
	f.Add("zz\x00zzzzzz", "zzzz\x1b]0;\x07zzzz")
	f.Fuzz(func(t *testing.T, password, text string) {
		if len(password) < 8 || strings.Contains(crypto.Redacted+crypto.Redacted, password) {
			return // not a valid password of ours
		}
		words := wording{user: user, secrets: []crypto.Secret{crypto.SecretFromString(password)}}

		for where, shown := range map[string]string{
			"text": words.clean(text),
			"page": answer{status: 500, body: []byte(text)}.describe(words),
		} {
			if strings.Contains(shown, password) {
				t.Errorf("%s: %q shows %q", where, shown, password)
			}
		}
	})
}

package mailu

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

func words() sanitizer {
	return sanitizer{user: user, secrets: []crypto.Secret{
		crypto.SecretFromString(mailutest.DefaultToken), crypto.SecretFromString(newPassword), {},
	}}
}

func TestWhatAnAnswerIsSummarisedTo(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"Mailu's message", `{"code":400,"message":"not a valid email address"}`, "status 400: not a valid email address"},
		{"only the message of an object", `{"message":"no","password":"$bcrypt-sha256$"}`, "status 400: no"},
		{"an object without one", `{"password":"$bcrypt-sha256$"}`, "status 400"},
		{"a message of another type", `{"message":{"password":"x"}}`, "status 400"},
		{"other JSON", `["a","b"]`, "status 400"},
		{"a title", "<!doctype html><html><head><title>\n 404  Not&nbsp;Found </title></head><body>text", "status 400: 404 Not Found"},
		{"a page without one", "<style>p{}</style><script>x()</script><!-- c --><h1>Bad <b>Gateway</b></h1>nginx", "status 400: Bad Gateway nginx"},
		{"plain text", "upstream  gone\r\n", "status 400: upstream gone"},
		{"nothing", "", "status 400"},
		{"terminal escapes", "a\x1b[31mred\x1b[0m\x1b]0;title\x07\u009b2Jb\x00\x07c\x1bM\u202ed", "status 400: aredbcd"},
		{"forged lines", `{"message":"no\nlevel=error msg=forged\r\u2028x"}`, "status 400: no level=error msg=forged x"},
		{"broken UTF-8", "a\xff\xfeb", "status 400: ab"},
		{"a long one", strings.Repeat("ä", 1000), "status 400: " + strings.Repeat("ä", 200) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := answer{status: 400, body: []byte(test.body)}
			if got := a.describe(words()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestASecretThatBeginsLikeAnotherIsRedacted(t *testing.T) {
	w := sanitizer{secrets: []crypto.Secret{crypto.SecretFromString("secret"), crypto.SecretFromString("secret-and-more")}}

	if got := w.clean("sent secret-and-more with secret"); got != "sent [redacted] with [redacted]" {
		t.Errorf("got %q", got)
	}
}

func TestAnAnswerOfTheLargestSizeIsWhole(t *testing.T) {
	for size, whole := range map[int]bool{maxBody: true, maxBody + 1: false} {
		a := readAnswer(respond(200, strings.Repeat("x", size))) //nolint:bodyclose // readAnswer closes it

		if len(a.body) != maxBody || errors.Is(a.err, errTooLarge) == whole {
			t.Errorf("%d bytes: %d, %v", size, len(a.body), a.err)
		}
	}
}

func TestSecretsThatAServerEchoesAreRedacted(t *testing.T) {
	for _, body := range []string{
		`{"message":"you sent ` + strings.ReplaceAll(newPassword, `"`, `\"`) + ` and ` + mailutest.DefaultToken + `"}`,
		`<title>Bearer ` + mailutest.DefaultToken + `: n3w-&quot;pass&lt;word&gt;&amp;/</title>`,
		`body was {"raw_password":"n3w-\"pass\u003cword\u003e\u0026/"} ` + mailutest.DefaultToken,
		`query p=n3w-%22pass%3Cword%3E%26%2F&token=` + mailutest.DefaultToken,
		"n3w-\"pass\x1b[0m<word>&/ split by an escape " + mailutest.DefaultToken,
		strings.Repeat("x", 190) + mailutest.DefaultToken,
	} {
		t.Run("", func(t *testing.T) {
			for _, status := range []int{200, 400, 403, 500} {
				fake, server := pair(t, mailutest.Config{})
				fake.Inject(mailutest.Fault{Kind: mailutest.GarbageJSON, Body: body})
				if status != 200 {
					fake.ClearFaults()
					fake.Inject(mailutest.Fault{Kind: mailutest.Status, Status: status, Body: body})
				}

				err := push(t, server)

				mustTell(t, server, err)
				if strings.Contains(err.Error(), "n3w-") || strings.Contains(err.Error(), "mailutest-api") {
					t.Errorf("%q shows a secret or a part of one", err)
				}
			}
		})
	}
}

func TestSecretsInBrokenHTTPAreRedacted(t *testing.T) {
	server := handler(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "%s %s\r\n\r\n", r.Header.Get("Authorization"), newPassword)
	})

	err := push(t, server)

	mustTell(t, server, err, "malformed HTTP")
	mustNotBe(t, err, rotator.ErrRefused)
	if strings.Contains(err.Error(), "n3w-") {
		t.Errorf("%q shows the password", err)
	}
}

func TestBodiesWithoutEndAreCutBySizeAndTime(t *testing.T) {
	tests := []struct {
		name     string
		fault    mailutest.Fault
		requests int
		words    string
	}{
		{"huge", mailutest.Fault{Kind: mailutest.HugeBody}, 1, "larger than 64 KiB"},
		{"endless and fast", mailutest.Fault{Kind: mailutest.EndlessBody, Delay: time.Microsecond}, 1, "larger than 64 KiB"},
		{"endless and slow", mailutest.Fault{Kind: mailutest.EndlessBody, Delay: 40 * time.Millisecond}, 3, "no answer within"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake, server := pair(t, mailutest.Config{})
			if test.requests == 3 {
				server.config.Timeout = 150 * time.Millisecond
			}
			fake.Inject(test.fault)
			start := time.Now()

			err := push(t, server)

			mustTell(t, server, err, test.words)
			mustNotBe(t, err, rotator.ErrRefused)
			if fake.Count("") != test.requests || time.Since(start) > 20*time.Second {
				t.Errorf("%d requests in %s", fake.Count(""), time.Since(start))
			}
		})
	}
}

func TestAnEndlessBodyCostsLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	a := readAnswer(&http.Response{StatusCode: 200, Body: endless{}})

	runtime.ReadMemStats(&after)
	if len(a.body) != maxBody || !errors.Is(a.err, errTooLarge) || after.TotalAlloc-before.TotalAlloc > 64*maxBody {
		t.Errorf("%d bytes, %v, %d allocated", len(a.body), a.err, after.TotalAlloc-before.TotalAlloc)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }
func (endless) Close() error               { return nil }

// Headers are limited too, and the client can stop the sender of whatever comes there.
func TestHeadersWithoutEndAreCut(t *testing.T) {
	var sent atomic.Int64
	server := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		line := []byte("X-More: " + strings.Repeat("x", 4<<10) + "\r\n")
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for err == nil && sent.Load() < 1<<30 {
			_, err = conn.Write(line)
			sent.Add(int64(len(line)))
		}
	})

	err := push(t, server)

	mustTell(t, server, err, "exceeded")
	mustNotBe(t, err, rotator.ErrRefused)
	if sent.Load() >= 1<<30 {
		t.Error("a gigabyte of headers was taken")
	}
}

// A compressed answer is refused: nothing is unpacked, so nothing can grow.
func TestACompressedAnswerIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	_, _ = pack.Write([]byte(updated))
	_ = pack.Close()
	var asked atomic.Value
	server := handler(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})

	err := push(t, server)

	mustTell(t, server, err, "not Mailu's answer to a change")
	mustNotBe(t, err, rotator.ErrRefused)
	if got := asked.Load(); got != "" {
		t.Errorf("compression was asked for: %q", got)
	}
}

func TestARefusalCountsThoughItsBodyBreaksOff(t *testing.T) {
	server := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusUnauthorized)
	})

	mustBe(t, push(t, server), rotator.ErrServerUnusable)
}

func TestASuccessWhoseBodyBreaksOffIsAmbiguous(t *testing.T) {
	server := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(updated))
	})

	err := push(t, server)

	mustTell(t, server, err, "the answer broke off", "try 3")
	mustNotBe(t, err, rotator.ErrRefused)
}

// FuzzAnswer checks for every answer what errors promise: short, printable, one line,
// without the call's secrets.
func FuzzAnswer(f *testing.F) {
	f.Add(400, []byte(`{"message":"`+mailutest.DefaultToken+`"}`), "application/json", "5", "https://x.example/")
	f.Add(404, []byte("<title>\x1b[31m n3w-&quot;pass&lt;word&gt;&amp;/</title>"), "text/html", "", "")
	f.Add(302, []byte(""), "", "x", "//"+mailutest.DefaultToken+"/\x1b]0;")
	f.Add(200, []byte(`{"email":"admin@example.com","password":"$x$y"}`), "", "", "")
	f.Add(429, bytes.Repeat([]byte("\x1b"), 300), "", "99999999999999999999", ":")
	f.Fuzz(func(t *testing.T, status int, body []byte, contentType, retry, location string) {
		a := answer{asked: &url.URL{Scheme: "https", Host: "mail.example.com"}, status: status, body: body, header: http.Header{
			"Content-Type": {contentType}, "Retry-After": {retry}, "Location": {location},
		}}
		v := judge(a, words())
		if v.accepted {
			v.cause = a.describe(words())
			_, _ = v.answer.object()
		}
		status = a.code()
		if v.certain && (!a.fromMailu() || status < 400 || status > 499 || status == 408 || status == 429) {
			t.Errorf("status %d taken for a certain refusal", status)
		}
		if v.pause < 0 || v.pause > time.Hour {
			t.Errorf("pause of %s", v.pause)
		}
		if n := utf8.RuneCountInString(v.cause); n > 2*maxWords || !utf8.ValidString(v.cause) {
			t.Errorf("%d characters: %q", n, v.cause)
		}
		if strings.ContainsFunc(v.cause, func(r rune) bool { return r != ' ' && (unicode.IsSpace(r) || !unicode.IsPrint(r)) }) {
			t.Errorf("unprintable: %q", v.cause)
		}
		if strings.Contains(v.cause, mailutest.DefaultToken) || strings.Contains(v.cause, newPassword) {
			t.Errorf("secret shown: %q", v.cause)
		}
	})
}

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
		c := &call{sanitizer: sanitizer{user: username}}
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
		sanitizer := sanitizer{user: user, secrets: []crypto.Secret{crypto.SecretFromString(password)}}

		for where, shown := range map[string]string{
			"text": sanitizer.clean(text),
			"page": answer{status: 500, body: []byte(text)}.describe(sanitizer),
		} {
			if strings.Contains(shown, password) {
				t.Errorf("%s: %q shows %q", where, shown, password)
			}
		}
	})
}

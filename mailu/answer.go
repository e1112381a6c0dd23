package mailu

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// maxBody limits how much of an answer is read; Mailu's are below 2 KiB.
const maxBody = 64 << 10

var errTooLarge = errors.New("the answer is larger than 64 KiB")

// answer is a complete HTTP response. Headers and body are the server's words: they
// reach an error only through [sanitizer].
type answer struct {
	asked  *url.URL             // the requested URL
	tls    *tls.ConnectionState // nil without TLS
	status int
	header http.Header
	body   []byte // at most maxBody
	err    error  // why the body is incomplete: errTooLarge or the network's error
}

// readAnswer reads until the request's context ends and closes the body. The status
// counts even if the body breaks off.
func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(body) > maxBody {
		body, err = body[:maxBody], errTooLarge
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
}

// fields are the parts of Mailu's answers that this package reads.
type fields struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	Name     string `json:"name"` // of a domain
	Email    string `json:"email"`
	Password string `json:"password"`
}

// object returns false for anything but a JSON object with fields of these types.
func (a answer) object() (fields, bool) {
	var f *fields
	if err := json.Unmarshal(a.body, &f); err != nil || f == nil {
		return fields{}, false
	}
	return *f, true
}

// code is the status, or the code in the body of a 200: for an invalid domain name
// Mailu reports the error only in the body.
func (a answer) code() int {
	if f, isObject := a.object(); isObject && a.status == http.StatusOK && f.Code >= 400 {
		return f.Code
	}
	return a.status
}

// tokenRefusals are Mailu's messages about a missing or wrong token (api/common.py
// api_token_authorization): since 2024.06, and before.
var tokenRefusals = []string{
	"A valid Authorization header is mandatory",
	"Invalid API token",
	"A valid Bearer token is expected which is provided as request header",
}

// refusesToken reports whether Mailu itself refused the token. Only the message shows
// it: a firewall or a proxy also answers 403, even in JSON.
func (a answer) refusesToken() bool {
	f, isObject := a.object()
	return isObject && slices.Contains(tokenRefusals, f.Message) &&
		(a.status == http.StatusUnauthorized || a.status == http.StatusForbidden)
}

// afterToken reports whether one of Mailu's methods made the answer: it ran, so the
// token is right. Earlier answers have no code, and only a requested object has a name.
func (a answer) afterToken() bool {
	f, isObject := a.object()
	return isObject && (f.Code != 0 && f.Code == a.code() || a.status == http.StatusOK && f.Email+f.Name != "")
}

// beforeToken are Mailu's refusals of a request before any method runs (flask-restx and
// Werkzeug).
var beforeToken = []string{
	"Input payload validation failed",
	"The browser (or proxy) sent a request that this server could not understand.",
	"Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
	"The method is not allowed for the requested URL.",
}

// fromMailu reports whether Mailu's admin made this answer. After its own refusal it
// changes nothing; for answers of others, such as a proxy that turns a 502 into a 404,
// that is unknown.
func (a answer) fromMailu() bool {
	f, isObject := a.object()
	return a.afterToken() || a.refusesToken() || isObject && slices.Contains(beforeToken, f.Message)
}

func (a answer) claimsJSON() bool {
	return strings.Contains(strings.ToLower(a.header.Get("Content-Type")), "json")
}

// describe returns the status with the first words of the answer.
func (a answer) describe(sanitizer sanitizer) string {
	status := fmt.Sprintf("status %d", a.status)
	if a.code() != a.status {
		status += fmt.Sprintf(", code %d", a.code())
	}
	text := sanitizer.clean(a.message(sanitizer))
	if text == "" {
		return status
	}
	return status + ": " + text
}

// message is not sanitized yet. From a JSON object it takes only the message: the
// user's other fields are private. It redacts a page before it removes tags, since a
// password may contain text that looks like a tag.
func (a answer) message(sanitizer sanitizer) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(a.body, &object) == nil {
		var message string
		_ = json.Unmarshal(object["message"], &message)
		return message
	}
	if json.Valid(a.body) {
		return ""
	}
	return pageText(sanitizer.redacted(string(a.body)))
}

// pageText returns the title of an HTML page, or its text if it has no title; for plain
// text, the text. It decodes entities and drops tags, comments and scripts.
func pageText(page string) string {
	var title, text strings.Builder
	inside := ""
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken: // the end: the reader returns no other error
			if strings.TrimSpace(title.String()) != "" {
				return title.String()
			}
			return text.String()
		case html.StartTagToken:
			name, _ := z.TagName()
			inside = string(name)
		case html.EndTagToken:
			inside = ""
			text.WriteByte(' ')
		case html.TextToken:
			switch inside {
			case "title":
				title.Write(z.Text())
			case "script", "style":
			default:
				text.Write(z.Text())
			}
		}
	}
}

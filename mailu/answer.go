package mailu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody is what is read of an answer; Mailu's are below 2 KiB.
const maxBody = 64 << 10

var errTooLarge = errors.New("the answer is larger than 64 KiB")

// answer is an HTTP response taken whole. Headers and body are the server's
// words: they reach an error through [wording] only.
type answer struct {
	asked  *url.URL // what was requested; nil in tests of judging alone
	status int
	header http.Header
	body   []byte // at most maxBody
	err    error  // why the body is not whole: errTooLarge or the network's
}

// readAnswer reads within the time of the request's context and closes the
// body. A status counts even if the body after it breaks off.
func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(body) > maxBody {
		body, err = body[:maxBody], errTooLarge
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
}

// fields are what this package reads of Mailu's answers.
type fields struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	Name     string `json:"name"` // of a domain
	Email    string `json:"email"`
	Password string `json:"password"`
}

// object is false for anything but a JSON object with fields of these types.
func (a answer) object() (fields, bool) {
	var f *fields
	if err := json.Unmarshal(a.body, &f); err != nil || f == nil {
		return fields{}, false
	}
	return *f, true
}

// code is the status, or the one in the body of a 200: of a name that is no domain
// Mailu says in the body alone that it is none.
func (a answer) code() int {
	if f, isObject := a.object(); isObject && a.status == http.StatusOK && f.Code >= 400 {
		return f.Code
	}
	return a.status
}

// tokenRefusals are what Mailu says of a token that is missing or wrong
// (api/common.py api_token_authorization): since 2024.06, and before.
var tokenRefusals = []string{
	"A valid Authorization header is mandatory",
	"Invalid API token",
	"A valid Bearer token is expected which is provided as request header",
}

// refusesToken reports whether Mailu itself refused the token. Only its words
// tell: a firewall or a proxy answers 403 too, in JSON as well.
func (a answer) refusesToken() bool {
	f, isObject := a.object()
	return isObject && slices.Contains(tokenRefusals, f.Message) &&
		(a.status == http.StatusUnauthorized || a.status == http.StatusForbidden)
}

// afterToken reports whether one of Mailu's methods made the answer: it was
// called, so the token is right. What comes before it has no code, and only an
// object that was asked for has a name.
func (a answer) afterToken() bool {
	f, isObject := a.object()
	return isObject && (f.Code != 0 && f.Code == a.code() || a.status == http.StatusOK && f.Email+f.Name != "")
}

// beforeToken are Mailu's refusals of a request that no method has seen
// (flask-restx and Werkzeug).
var beforeToken = []string{
	"Input payload validation failed",
	"The browser (or proxy) sent a request that this server could not understand.",
	"Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
	"The method is not allowed for the requested URL.",
}

// fromMailu reports whether Mailu's admin made this answer. It cannot change
// anything after a refusal of its own; of what answers in its place, such as a
// proxy that makes a 404 of a 502, nothing of the kind is known.
func (a answer) fromMailu() bool {
	f, isObject := a.object()
	return a.afterToken() || a.refusesToken() || isObject && slices.Contains(beforeToken, f.Message)
}

func (a answer) claimsJSON() bool {
	return strings.Contains(strings.ToLower(a.header.Get("Content-Type")), "json")
}

// describe is the status with the first words of the answer.
func (a answer) describe(words wording) string {
	status := fmt.Sprintf("status %d", a.status)
	if a.code() != a.status {
		status += fmt.Sprintf(", code %d", a.code())
	}
	text := words.clean(a.message(words))
	if text == "" {
		return status
	}
	return status + ": " + text
}

// message is not clean yet. Of a JSON object it is the message or nothing: the
// other fields of a user are nobody's business. A page is redacted before its
// tags go, since a password may have what looks like one.
func (a answer) message(words wording) string {
	var object map[string]json.RawMessage
	if json.Unmarshal(a.body, &object) == nil {
		var message string
		_ = json.Unmarshal(object["message"], &message)
		return message
	}
	if json.Valid(a.body) {
		return ""
	}
	return pageText(words.redacted(string(a.body)))
}

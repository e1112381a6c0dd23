package mailu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxBody is what is read of an answer; Mailu's are below 2 KiB.
const maxBody = 64 << 10

var errTooLarge = errors.New("the answer is larger than 64 KiB")

// answer is an HTTP response taken whole. Headers and body are the server's
// words: they reach an error through [wording] only.
type answer struct {
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

package mailutest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// payload reads and validates the body of PATCH and POST as Werkzeug 3.0 (wrappers/request.py Request.get_json) and
// flask-restx (model.py ModelBase.validate, with validate=True in api/v1/__init__.py) do. Names outside the model are
// accepted.
//
// model maps the known fields to their JSON types; required lists the mandatory ones.
func payload(c call, model map[string]string, required []string) (data map[string]any, refusal answer, ok bool) {
	if !isJSON(c.request.Header.Get("Content-Type")) {
		return nil, message(http.StatusUnsupportedMediaType,
			"Did not attempt to load JSON data because the request Content-Type was not 'application/json'."), false
	}
	text := decodeText(c.body)
	var value any
	if !utf8.Valid(text) || json.Unmarshal(text, &value) != nil {
		return nil, message(http.StatusBadRequest,
			"The browser (or proxy) sent a request that this server could not understand."), false
	}
	// Mailu catches neither Python's recursion limit nor a character that UTF-8 cannot encode.
	if depth(value) > maxDepth || loneSurrogate().Match(text) {
		return nil, internalError(), false
	}
	data, isObject := value.(map[string]any)
	if !isObject {
		return nil, invalid(map[string]string{"": complaint(value, "object")}), false
	}
	complaints := map[string]string{}
	for name, kind := range model {
		if sent, found := data[name]; found && !isKind(sent, kind) {
			complaints[name] = complaint(sent, kind)
		}
	}
	for _, name := range required {
		if _, found := data[name]; !found {
			complaints[name] = fmt.Sprintf("'%s' is a required property", name)
		}
	}
	if len(complaints) > 0 {
		return nil, invalid(complaints), false
	}
	return data, answer{}, true
}

// maxDepth is roughly Python's recursion limit.
const maxDepth = 900

func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case []any:
		for _, inner := range value {
			deepest = max(deepest, depth(inner))
		}
	case map[string]any:
		for _, inner := range value {
			deepest = max(deepest, depth(inner))
		}
	default:
		return 0
	}
	return 1 + deepest
}

// loneSurrogate finds half of a surrogate pair. Mailu would store it as it is, and the hash fails on it.
func loneSurrogate() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}(?:[^\\]|\\[^u]|\\u[^d]|\\ud[^c-f]|$)`)
}

// decodeText is Python's json.detect_encoding for text that begins with a byte order mark.
func decodeText(body []byte) []byte {
	if rest, marked := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); marked {
		return rest
	}
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return body
	}
	var units []uint16
	for body = body[2:]; len(body) > 1; body = body[2:] {
		units = append(units, order.Uint16(body))
	}
	return []byte(string(utf16.Decode(units)))
}

// validDates: a date that does not parse is a ValueError, which Mailu does not catch.
func validDates(data map[string]any) bool {
	for _, name := range []string{"reply_startdate", "reply_enddate"} {
		if text, sent := data[name].(string); sent {
			if _, err := time.Parse(time.DateOnly, text); err != nil {
				return false
			}
		}
	}
	return true
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func invalid(complaints map[string]string) answer {
	return jsonAnswer(http.StatusBadRequest, map[string]any{
		"errors": complaints, "message": "Input payload validation failed",
	})
}

// complaint repeats the sent value, as jsonschema does: the body of a 400 may contain what was meant as a password.
func complaint(value any, kind string) string {
	text := fmt.Sprintf("%v", value)
	switch value := value.(type) {
	case nil:
		text = "None"
	case string:
		text = "'" + value + "'"
	}
	return fmt.Sprintf("%s is not of type '%s'", text, kind)
}

func isKind(value any, kind string) bool {
	switch value := value.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case float64:
		return kind == "integer" && value == math.Trunc(value)
	case []any:
		return kind == "array"
	}
	return false
}

// userModel is api/v1/user.py user_fields_put with the JSON types of its fields; null is not allowed. user_fields_post
// is the same with email.
func (s *Server) userModel() map[string]string {
	model := map[string]string{
		"raw_password":         "string",
		"comment":              "string",
		"quota_bytes":          "integer",
		"global_admin":         "boolean",
		"enabled":              "boolean",
		"change_pw_next_login": "boolean",
		"enable_imap":          "boolean",
		"enable_pop":           "boolean",
		"allow_spoofing":       "boolean",
		"forward_enabled":      "boolean",
		"forward_destination":  "array",
		"forward_keep":         "boolean",
		"reply_enabled":        "boolean",
		"reply_subject":        "string",
		"reply_body":           "string",
		"reply_startdate":      "string",
		"reply_enddate":        "string",
		"displayed_name":       "string",
		"spam_enabled":         "boolean",
		"spam_mark_as_read":    "boolean",
		"spam_threshold":       "integer",
	}
	if s.config.Release == Release20 {
		delete(model, changeAtLogin)
	}
	return model
}

// columns returns the columns that are stored as they were sent: the model without the password.
func (s *Server) columns(data map[string]any) map[string]any {
	fields := map[string]any{}
	for name := range s.userModel() {
		if value, found := data[name]; found && name != "raw_password" {
			fields[name] = value
		}
	}
	return fields
}

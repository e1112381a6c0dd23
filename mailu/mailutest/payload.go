package mailutest

import (
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// payload reads and validates the body of PATCH and POST as Werkzeug 3.0 (wrappers/request.py Request.get_json) and flask-restx
// (model.py ModelBase.validate, with validate=True in api/v1/__init__.py) do. Names outside the model are let through.
//
// model has the JSON types of the fields that are known; required are those without which there is a complaint.
func payload(c call, model map[string]string, required []string) (data map[string]any, refusal answer, ok bool) {
	if !isJSON(c.request.Header.Get("Content-Type")) {
		return nil, message(http.StatusUnsupportedMediaType,
			"Did not attempt to load JSON data because the request Content-Type was not 'application/json'."), false
	}
	var value any
	if !utf8.Valid(c.body) || json.Unmarshal(c.body, &value) != nil {
		return nil, message(http.StatusBadRequest,
			"The browser (or proxy) sent a request that this server could not understand."), false
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

// complaint repeats the value that was sent, as jsonschema does: the body of a 400 may hold what was meant as a password.
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

// userModel is api/v1/user.py user_fields_put with the JSON types of its fields. Null is none of them. user_fields_post is
// the same with email.
func userModel() map[string]string {
	return map[string]string{
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
}

// columns leaves what is stored as it was sent: the model without the password.
func columns(data map[string]any) map[string]any {
	fields := map[string]any{}
	for name := range userModel() {
		if value, found := data[name]; found && name != "raw_password" {
			fields[name] = value
		}
	}
	return fields
}

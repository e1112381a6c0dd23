package mailutest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/mailu/mailutest"
)

// recording holds a real Mailu's answers, in order. Its note says how it was made.
type recording struct {
	Requests []recordedRequest
}

type recordedRequest struct {
	Name, Method, Path string
	Token              *string
	ContentType        string `json:"content_type"`
	Body               string
	BodyBase64         string                    `json:"body_base64"`
	Answers            map[string]recordedAnswer // by release
}

type recordedAnswer struct {
	Status      int
	ContentType string `json:"content_type"`
	Body        string // its first 600 characters
	Location    string
	Allow       string
}

// differences lists where mailutest answers differently, and why that is acceptable.
var differences = map[mailutest.Release]map[string]string{
	mailutest.Release2024: {
		"get api root": "the page is Swagger's, and nobody reads it: mailutest keeps the title",
		"patch NaN":    "Python reads NaN as a number and complains of its type: to mailutest it is no JSON, and 400 just so",
	},
}

// recordedChars is the length at which a text is cut off. For 2.0 only statuses and content types are recorded.
const recordedChars = 600

func TestAnswersAsTheRealMailuDid(t *testing.T) {
	for _, release := range []mailutest.Release{mailutest.Release2024, mailutest.Release20} {
		t.Run(string(release), func(t *testing.T) {
			server := asRecorded(t, release)
			for _, recorded := range load(t).Requests {
				t.Run(recorded.Name, func(t *testing.T) {
					got := do(t, server, recorded.request(server))

					found := compare(recorded, recorded.Answers[string(release)], got)
					reason, listed := differences[release][recorded.Name]
					switch {
					case listed && found == "":
						t.Errorf("answers as the real Mailu now: take it off the list (%s)", reason)
					case !listed && found != "":
						t.Error(found)
					}
				})
			}
		})
	}
}

func TestEveryListedDifferenceIsOfTheRecording(t *testing.T) {
	names := []string{}
	for _, recorded := range load(t).Requests {
		names = append(names, recorded.Name)
	}
	for _, listed := range differences {
		for name := range listed {
			if !slices.Contains(names, name) {
				t.Errorf("%q is not in the recording", name)
			}
		}
	}
}

// asRecorded is the state at the start of the recording. Each of its requests came from its own address.
func asRecorded(t *testing.T, release mailutest.Release) *mailutest.Server {
	t.Helper()
	server := mailutest.Run(t, mailutest.Config{Release: release, RateLimit: -1})
	server.AddDomain("example.com")
	server.AddDomain("b\u00fccher.example")
	for _, user := range []string{alice, "plus+tag@example.com", "o'brien@example.com", "upper@example.com", "off@example.com"} {
		server.AddUser(user, secret)
	}
	server.SetEnabled("off@example.com", false)
	return server
}

func load(t *testing.T) recording {
	t.Helper()
	text, err := os.ReadFile("testdata/contract.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Requests) != 100 {
		t.Fatalf("%d requests, want 100", len(r.Requests))
	}
	return r
}

func (r recordedRequest) request(server *mailutest.Server) request {
	ask := request{method: r.Method, path: r.Path, body: r.payload(), token: "-", contentType: r.ContentType}
	if r.Token != nil {
		ask.token = map[string]string{
			"RIGHT":  "Bearer " + server.Token(),
			"RAW":    server.Token(),
			"LOWER":  "bearer " + server.Token(),
			"DOUBLE": "Bearer Bearer " + server.Token(),
		}[*r.Token]
		if ask.token == "" {
			ask.token = *r.Token
		}
	}
	if ask.contentType == "" {
		ask.contentType = "-"
	}
	return ask
}

// payload builds the bodies that the recording only describes.
func (r recordedRequest) payload() string {
	switch r.Name {
	case "patch 4096 wide":
		return `{"raw_password": "` + strings.Repeat(`\u00fc`, 4096) + `"}`
	case "huge body 1MB":
		return `{"raw_password": "` + strings.Repeat("h", 1_000_000) + `"}`
	case "deep json":
		return `{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"
	}
	if r.BodyBase64 != "" {
		raw, err := base64.StdEncoding.DecodeString(r.BodyBase64)
		if err != nil {
			panic(err)
		}
		return string(raw)
	}
	return r.Body
}

// compare returns the differences, or "".
func compare(asked recordedRequest, want recordedAnswer, got reply) string {
	media, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	switch {
	case got.status != want.Status:
		return fmt.Sprintf("status %d, want %d", got.status, want.Status)
	case err != nil || media != want.ContentType:
		return fmt.Sprintf("content type %q, want %q", got.header.Get("Content-Type"), want.ContentType)
	case got.header.Get("Location") != want.Location:
		return fmt.Sprintf("location %q, want %q", got.header.Get("Location"), want.Location)
	case !slices.Equal(names(got.header.Get("Allow")), names(want.Allow)):
		return fmt.Sprintf("allow %q, want %q", got.header.Get("Allow"), want.Allow)
	case want.Body == "":
		return ""
	case want.ContentType != "application/json":
		return compareText(want.Body, got.body)
	}
	return compareJSON(want.Body, got.body)
}

// names are in any order: Flask keeps them in a set.
func names(list string) []string {
	all := strings.Split(list, ", ")
	slices.Sort(all)
	return all
}

func compareText(want, got string) string {
	if len(want) >= recordedChars {
		got = got[:min(len(got), len(want))]
	}
	if got != want {
		return fmt.Sprintf("body %q, want %q", got, want)
	}
	return ""
}

// compareJSON compares keys, types and values; where the recording was cut off, only the part before. It compares only
// the types of a hash and of a host's DNS entries.
func compareJSON(want, got string) string {
	wanted, whole := pairs(want)
	shown, _ := pairs(got)
	if wanted == nil || shown == nil {
		return fmt.Sprintf("body %.100q, want %.100q", got, want)
	}
	for name, value := range wanted {
		other, found := shown[name]
		switch {
		case !found:
			return fmt.Sprintf("no %s", name)
		case reflect.TypeOf(other) != reflect.TypeOf(value):
			return fmt.Sprintf("%s is %v, want %v", name, other, value)
		case name == "password" || strings.HasPrefix(name, "dns_"):
		case !reflect.DeepEqual(other, value):
			return fmt.Sprintf("%s is %v, want %v", name, other, value)
		}
		delete(shown, name)
	}
	if whole && len(shown) > 0 {
		return fmt.Sprintf("%v too", shown)
	}
	return ""
}

// pairs returns the fields of an object, or of the first object of a list, up to where the text is cut off; nil if it
// is neither.
func pairs(text string) (object map[string]any, whole bool) {
	list := strings.HasPrefix(text, "[")
	decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "[")))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	object = map[string]any{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return object, false
		}
		var value any
		if decoder.Decode(&value) != nil {
			return object, false
		}
		object[fmt.Sprint(name)] = value
	}
	_, err := decoder.Token()
	return object, err == nil && !list || list
}

// Two cases that were not recorded, but seen on the same servers.
func TestSlashesInARowAreMerged(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})

	got := do(t, server, request{path: "/api//v1/user//" + alice, token: "-"})

	if want := server.Origin() + "/api/v1/user/" + alice; got.status != http.StatusPermanentRedirect || got.header.Get("Location") != want {
		t.Errorf("answer %d to %q, want 308 to %s", got.status, got.header.Get("Location"), want)
	}
}

func TestOneUserMoreThanMaxUsersIsAConflict(t *testing.T) {
	server := runWithAlice(t, mailutest.Config{})
	server.SetMaxUsers("example.com", 1)

	got := do(t, server, post(bob))

	if got.status != http.StatusConflict || !strings.Contains(got.body, "Too many users for domain example.com") {
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

package vault

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const aList = `{"request_id":"x","data":{"key_info":{"a":[1,{}]},"keys":["a/","b/","read me"]},"warnings":null,"auth":{"keys":["no"]}}`

func keys(body io.Reader) (all []string, err error) {
	err = keysOf(body, func(key string) bool {
		all = append(all, key)
		return true
	})
	return all, err
}

func TestKeysAreFoundWhereverTheyAre(t *testing.T) {
	for _, body := range []string{
		aList,
		`{"data":{"keys":["a/","b/","read me"]}}` + "\n",
		`{"keys":["top"],"data":{"keys":["a/","b/","read me"],"more":[[]]}}`,
	} {
		got, err := keys(iotest.OneByteReader(strings.NewReader(body)))

		if want := []string{"a/", "b/", "read me"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", body, got, err)
		}
	}
}

// A list that breaks off anywhere, with or without an error, is an error: in a shorter
// fleet tenants would not become due, and duplicate users would go unnoticed.
func TestAListThatBreaksOffIsAnError(t *testing.T) {
	for n := range len(aList) {
		if _, err := keys(strings.NewReader(aList[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %q: got %v", aList[:n], err)
		}
		reset := errors.New("connection reset")
		if _, err := keys(io.MultiReader(strings.NewReader(aList[:n]), iotest.ErrReader(reset))); !errors.Is(err, reset) {
			t.Errorf("reset after %q: got %v", aList[:n], err)
		}
	}
}

func TestOddListsAreErrors(t *testing.T) {
	for body, says := range map[string]string{
		`{}`:                                      "no list of keys",
		`{"data":{}}`:                             "no list of keys",
		`{"data":null}`:                           "no list of keys",
		`{"data":{"keys":null}}`:                  "no list of keys",
		`{"data":{"keys":{"a/":1}}}`:              "no list of keys",
		`{"data":{"keys":"a/"}}`:                  "no list of keys",
		`["a/"]`:                                  "no list of keys",
		`{"data":{"keys":["a/",7]}}`:              "not a name",
		`{"data":{"keys":["a/",["b/"]]}}`:         "not a name",
		`{"data":{"keys":["a/",null]}}`:           "not a name",
		`{"data":{"keys":["a/"],"keys":["b/"]}}`:  "two lists",
		`{"data":{"keys":["a/"]},"data":{"k":1}}`: "",
		`{"data":{"keys":["a/"]}}{}`:              "after its end",
		`{"data":{"keys":["a/" "b/"]}}`:           "invalid character",
		`<html>`:                                  "invalid character",
		``:                                        "breaks off",
	} {
		_, err := keys(strings.NewReader(body))

		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: got %v, want %q", body, err, says)
		}
	}
}

func TestNobodyReadsOnAfterEnough(t *testing.T) {
	err := keysOf(strings.NewReader(aList), func(string) bool { return false })

	if !errors.Is(err, errEnough) {
		t.Errorf("got %v", err)
	}
}

// The reference is the standard library's decoder on the whole answer.
func FuzzListAnswer(f *testing.F) {
	f.Add(aList)
	f.Add(`{"data":{"keys":[]}}`)
	f.Add(`{"data":{"keys":["\u00e9","a\/"]}}`)
	f.Add(`{"data":{"keys":["a/"]}`)
	for _, body := range []string{`{"data":{"keys":[1]}}`, `{"data":{"keys":{}}}`, `{}`, `null`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := keys(strings.NewReader(body))

		var whole, data map[string]json.RawMessage
		wholeErr := json.Unmarshal([]byte(body), &whole)
		if err == nil && wholeErr != nil {
			t.Fatalf("got %q of what is no JSON: %v", got, wholeErr)
		}
		var want []string
		_ = json.Unmarshal(whole["data"], &data) // a later object without keys does not count
		if err == nil && json.Unmarshal(data["keys"], &want) == nil && len(want) > 0 && !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

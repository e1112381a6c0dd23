package config

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRangesAreWhatTheySay(t *testing.T) {
	number, duration := reflect.TypeFor[int](), reflect.TypeFor[time.Duration]()
	const none, all = math.MinInt64, math.MaxInt64

	for text, want := range map[string]numbers{
		"1 to 256":          {1, 256, ""},
		"1 to 256, or so":   {1, 256, ""},
		"-3 to less than 5": {-3, 4, ""},
		"more than 0":       {1, all, ""},
		"0 or more":         {0, all, ""},
		"up to 128":         {none, 128, ""},
	} {
		want.text, _, _ = strings.Cut(text, ",")
		if got, err := parseRange(text, number); got != want || err != nil {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	if got, err := parseRange("0s to less than 24h", duration); err != nil || got.least != 0 || got.most != int64(24*time.Hour-1) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", "some", "1", "1 to", "one to two", "up to much"} {
		if got, err := parseRange(text, number); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

// A number without a range makes Load panic; a text without range or oneof leaves the
// reference incomplete.
func TestEveryValueSaysWhatItMayBe(t *testing.T) {
	for field, key := range fields(reflect.TypeFor[Config](), "") {
		tag := field.Tag
		if isNumber(field.Type) {
			if _, err := parseRange(tag.Get("range"), field.Type); err != nil {
				t.Errorf("%s: range %q: %v", key, tag.Get("range"), err)
			}
		}
		if tag.Get("range") == "" && tag.Get("oneof") == "" && field.Type.Kind() != reflect.Bool {
			t.Errorf("%s has no range", key)
		}
	}
}

func TestAuthMethodsAreThoseOfTheTag(t *testing.T) {
	field, _ := reflect.TypeFor[Auth]().FieldByName("Method")

	var methods []string
	for _, method := range authMethods() {
		methods = append(methods, string(method))
	}

	if got := strings.Split(field.Tag.Get("oneof"), ","); !slices.Equal(got, methods) {
		t.Errorf("got %q, want %q", got, methods)
	}
}

// fields yields the fields that hold values, with their keys.
func fields(section reflect.Type, path string) func(func(reflect.StructField, string) bool) {
	return func(yield func(reflect.StructField, string) bool) {
		for name, i := range keys(section) {
			field, key := section.Field(i), join(path, name)
			below := field.Type
			if below == reflect.TypeFor[[]Server]() {
				below, key = below.Elem(), key+"[]"
			}
			if !isSection(below) {
				if !yield(field, key) {
					return
				}
				continue
			}
			for f, k := range fields(below, key) {
				if !yield(f, k) {
					return
				}
			}
		}
	}
}

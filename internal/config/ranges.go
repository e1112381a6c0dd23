package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// validateTagged checks every value against the range and oneof tags of its field.
func (l *loader) validateTagged(section reflect.Value, path string) {
	for name, i := range keys(section.Type()) {
		field, tag, key := section.Field(i), section.Type().Field(i).Tag, join(path, name)
		switch {
		case isSection(field.Type()):
			l.validateTagged(field, key)
		case field.Type() == reflect.TypeFor[[]Server]():
			for n := range field.Len() {
				l.validateTagged(field.Index(n), fmt.Sprintf("%s[%d]", key, n))
			}
		case tag.Get("oneof") != "":
			l.oneOf(key, field.String(), strings.Split(tag.Get("oneof"), ","))
		case isNumber(field.Type()):
			l.between(key, field, tag.Get("range"))
		}
	}
}

func isNumber(t reflect.Type) bool {
	return t.Kind() == reflect.Int || t == reflect.TypeFor[time.Duration]()
}

// between reports a number or duration outside its range; other checks of it would be
// useless.
func (l *loader) between(key string, value reflect.Value, text string) {
	r := mustParse(parseRange(text, value.Type()))
	if n := value.Int(); n < r.least || n > r.most {
		l.report(key, "%v is out of range: give %s", value, r.text)
		l.broken[key] = true
	}
}

// numbers is a range of numbers or durations, both ends included.
type numbers struct {
	least, most int64
	text        string
}

// parseRange reads "1 to 256", "0s to less than 24h", "more than 0s", "0s or more" and
// "up to 128". Text after a comma is for people.
func parseRange(tag string, of reflect.Type) (numbers, error) {
	text, _, _ := strings.Cut(tag, ",")
	r := numbers{least: math.MinInt64, most: math.MaxInt64, text: text}
	var err error
	if above, found := strings.CutPrefix(text, "more than "); found {
		r.least, err = parseNumber(above, of)
		r.least++
		return r, err
	}
	if least, found := strings.CutSuffix(text, " or more"); found {
		r.least, err = parseNumber(least, of)
		return r, err
	}
	least, most, found := strings.Cut(text, " to ")
	if least != "up" && found {
		if r.least, err = parseNumber(least, of); err != nil {
			return r, err
		}
	}
	below, excluded := strings.CutPrefix(most, "less than ")
	r.most, err = parseNumber(below, of)
	if excluded {
		r.most--
	}
	return r, err
}

func parseNumber(text string, of reflect.Type) (int64, error) {
	if of == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

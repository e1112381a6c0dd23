package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mailu-rotator/rotator"
)

// textParser returns a function that parses text into target, or nil if target has a
// basic type.
func textParser(target any) func(string) error {
	switch t := target.(type) {
	case *time.Duration:
		return parseInto(t, parseDuration)
	case **time.Location:
		return parseInto(t, parseLocation)
	case *Schedule:
		return parseInto(t, ParseSchedule)
	case *rotator.Policy:
		return parseInto(t, rotator.ParsePolicy)
	case *rotator.Spread:
		return parseInto(t, rotator.ParseSpread)
	case *rotator.Origin:
		return parseInto(t, parseOrigin)
	}
	return nil
}

// expected names the type of target for error messages.
func expected(target any) string {
	switch target.(type) {
	case *time.Duration:
		return "a duration with its unit, such as 30s"
	case *rotator.Policy:
		return "\"<n>_days\" or \"manual\""
	case *rotator.Spread:
		return "a share of the policy with its sign, such as 10%"
	}
	return "text"
}

func parseInto[T any](target *T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		value, err := parse(text)
		if err != nil {
			return err
		}
		*target = value
		return nil
	}
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a duration: write a number with its unit (ms, s, m, h), such as 90s or 1h30m", text)
	}
	return d, nil
}

func parseLocation(text string) (*time.Location, error) {
	if text == "" {
		return nil, errors.New("empty; write UTC, Local or a name such as Europe/Berlin")
	}
	location, err := time.LoadLocation(text)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not a time zone known here: write UTC, Local or a name such as Europe/Berlin, and see that the tz database is installed", text)
	}
	return location, nil
}

func parseOrigin(text string) (rotator.Origin, error) {
	// ParseOrigin's errors repeat the input, which may include a password.
	if strings.Contains(text, "@") {
		return "", errors.New("a URL with \"@\" in it carries credentials: remove them")
	}
	return rotator.ParseOrigin(text)
}

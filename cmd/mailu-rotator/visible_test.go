package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// hostileText is what an attacker could put into a field of a record, or a server into
// its answer: a forged line, escapes of both kinds, a title, direction marks, invisible
// characters, a character outside the BMP, broken UTF-8.
const hostileText = "x\n{\"level\":\"info\",\"msg\":\"sweep finished\"}\r\x1b[2J\x9b\u009b31m\x1b]0;owned\x07\x7f\u202eevil\u200b\U000e0041\u2028\xff"

func TestNoFieldCanForgeALogLineOrSteerATerminal(t *testing.T) {
	hostile := rotator.Event{
		Name: rotator.TenantDone, Tenant: hostileText, Origin: hostileText, Rotation: hostileText,
		Outcome: hostileText, State: hostileText, Err: errors.New(hostileText),
	}
	for _, format := range []config.LogFormat{config.LogJSON, config.LogConsole} {
		var out bytes.Buffer
		newLogger(config.Log{Level: config.LogDebug, Format: format}, &out).observe(hostile)

		line, ended := strings.CutSuffix(out.String(), "\n")
		if !ended || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q", format, &out)
		}
	}
}

func TestAHiddenCharacterIsStillInTheJSON(t *testing.T) {
	const text = "\x1b[31m\u009b\u202e\U000e0041\u2028\x7f ü"
	var out bytes.Buffer

	newLogger(config.Log{Level: config.LogDebug, Format: config.LogJSON}, &out).observe(rotator.Event{Name: rotator.TenantSkipped, Tenant: text})

	var got struct{ Tenant string }
	must(t, json.Unmarshal(out.Bytes(), &got))
	if got.Tenant != text {
		t.Errorf("%q became %q", text, got.Tenant)
	}
}

func TestVisibleKeepsLinesAndWhatCanBeSeen(t *testing.T) {
	for text, want := range map[string]string{
		"two\nlines\tof ümlaut 日本": "two\nlines\tof ümlaut 日本",
		"\x1b[2J":                  `\u001b[2J`,
		"\u009b31m":                `\u009b31m`,
		"a\xffb":                   "a\ufffdb",
		"a\xffb\x7f":               "a\ufffdb" + `\u007f`,
		"\U000e0041":               `\udb40\udc41`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

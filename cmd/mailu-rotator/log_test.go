package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

// TestSeverity: info means that something changed, warn that an operator may look,
// error that an operator must; debug is for steps and unchanged tenants.
func TestSeverity(t *testing.T) {
	failure := errors.New("why")
	for _, c := range []struct {
		event rotator.Event
		want  zapcore.Level
	}{
		{rotator.Event{Name: rotator.SweepStarted}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.RotationPrepared}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.PasswordPushed}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.PasswordVerified}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.RotationCommitted}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.RotationTakenOver}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.PushUncertain, Err: failure}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.RotationAbandoned, Err: failure}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.PendingRestored}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.RecordExpires}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.TenantSkipped, Outcome: rotator.Invalid}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.ServerPaused}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.ServerStopped}, zapcore.ErrorLevel},
		{rotator.Event{Name: rotator.SweepRefused}, zapcore.ErrorLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Rotated}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Fresh, Err: failure}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Claimed, Err: failure}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Blocked, Err: failure}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Unfinished, Err: failure}, zapcore.ErrorLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Stuck, Err: failure}, zapcore.ErrorLevel},
		{rotator.Event{Name: rotator.RecordRebased}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.SweepFinished}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.SweepFinished, Count: 1}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.SweepFinished, Deferred: 1}, zapcore.WarnLevel},
	} {
		if got := severity(c.event); got != c.want {
			t.Errorf("%s, outcome %q: %s, want %s", c.event.Name, c.event.Outcome, got, c.want)
		}
	}
}

func TestLogLineHasTheFieldsThatApply(t *testing.T) {
	for _, c := range []struct {
		event rotator.Event
		want  map[string]any
	}{
		{rotator.Event{Name: rotator.SweepStarted}, map[string]any{}},
		{rotator.Event{Name: rotator.SweepPlanned}, map[string]any{"tenants": 0.0}},
		{rotator.Event{Name: rotator.SweepFinished, Count: 2}, map[string]any{"failures": 2.0}},
		{rotator.Event{Name: rotator.SweepFinished, Rotated: 7, Finished: 1, Deferred: 3, Took: 4500*time.Millisecond + 1}, map[string]any{
			"failures": 0.0, "rotated": 7.0, "finished": 1.0, "deferred": 3.0, "took": "4.5s",
		}},
		{
			rotator.Event{Name: rotator.ServerPaused, Origin: "https://a.example", Wait: 1500*time.Millisecond + 1, Err: errors.New("status 502")},
			map[string]any{"origin": "https://a.example", "wait": "1.5s", "error": "status 502"},
		},
		{
			rotator.Event{Name: rotator.TenantDone, Tenant: "id", User: "admin@a.example", Origin: "https://a.example", Rotation: "abc", Outcome: rotator.Refused, Err: errors.New("no")},
			map[string]any{"tenant": "id", "user": "admin@a.example", "origin": "https://a.example", "rotation": "abc", "outcome": "refused", "error": "no"},
		},
		{
			rotator.Event{Name: rotator.TenantSkipped, Tenant: "id", User: strings.Repeat("é", 1000)},
			map[string]any{"tenant": "id", "user": strings.Repeat("é", 254)},
		},
	} {
		var out bytes.Buffer
		newLogger(config.Log{Level: config.LogDebug, Format: config.LogJSON}, &out).observe(c.event)

		var got map[string]any
		must(t, json.Unmarshal(out.Bytes(), &got))
		if got["msg"] != string(c.event.Name) || got["level"] == nil || got["time"] == nil {
			t.Errorf("%s: %s", c.event.Name, &out)
		}
		for _, key := range []string{"msg", "level", "time"} {
			delete(got, key)
		}
		if wanted, had := asJSON(t, c.want), asJSON(t, got); wanted != had {
			t.Errorf("%s: %s, want %s", c.event.Name, had, wanted)
		}
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	must(t, err)
	return string(text)
}

func TestLogLevelsLeaveOutWhatIsBelow(t *testing.T) {
	for level, want := range map[config.LogLevel]int{
		config.LogDebug: 4, config.LogInfo: 3, config.LogWarn: 2, config.LogError: 1,
	} {
		var out bytes.Buffer
		log := newLogger(config.Log{Level: level, Format: config.LogJSON}, &out)

		for _, name := range []rotator.EventName{rotator.RotationPrepared, rotator.SweepStarted, rotator.PushUncertain, rotator.ServerStopped} {
			log.observe(rotator.Event{Name: name})
		}

		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("level %s: %d lines, want %d:\n%s", level, got, want, &out)
		}
	}
}

func TestLogIsConsoleOnlyWhereAskedForOrOnATerminal(t *testing.T) {
	for format, isJSON := range map[config.LogFormat]bool{
		config.LogAuto: true, config.LogJSON: true, config.LogConsole: false,
	} {
		var out bytes.Buffer
		newLogger(config.Log{Level: config.LogInfo, Format: format}, &out).observe(rotator.Event{Name: rotator.SweepStarted})

		if json.Valid(out.Bytes()) != isJSON {
			t.Errorf("format %s into a buffer: %s", format, &out)
		}
	}
}

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

func TestSeverityOfVerificationAndRollback(t *testing.T) {
	why := errors.New("why")
	for _, c := range []struct {
		event rotator.Event
		want  zapcore.Level
	}{
		{rotator.Event{Name: rotator.VerificationStarted}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.VerificationPlanned, Count: 3}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StateOK}, zapcore.DebugLevel},
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StatePending}, zapcore.DebugLevel}, // under way
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StatePending, Err: why}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.TenantVerified, State: rotator.StateDrift, Err: why}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.TenantRepaired}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.VerificationFinished}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.VerificationFinished, Count: 1}, zapcore.WarnLevel},
		{rotator.Event{Name: rotator.VerificationRefused, Err: why}, zapcore.ErrorLevel},
		{rotator.Event{Name: rotator.VerificationScheduled}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.RollbackStarted}, zapcore.InfoLevel},
		{rotator.Event{Name: rotator.TenantDone, Outcome: rotator.Restored}, zapcore.DebugLevel},
	} {
		if got := severity(c.event); got != c.want {
			t.Errorf("%s, state %q: %s, want %s", c.event.Name, c.event.State, got, c.want)
		}
	}
}

func TestLogLineOfAVerificationHasItsFields(t *testing.T) {
	for _, c := range []struct {
		event rotator.Event
		want  map[string]any
	}{
		{rotator.Event{Name: rotator.VerificationPlanned, Count: 3}, map[string]any{"tenants": 3.0}},
		{rotator.Event{Name: rotator.VerificationFinished, Count: 2}, map[string]any{"problems": 2.0}},
		{
			rotator.Event{Name: rotator.TenantVerified, Tenant: "id", Origin: "https://a.example", State: rotator.StateDrift, Err: errors.New("no")},
			map[string]any{"tenant": "id", "origin": "https://a.example", "state": "drift", "error": "no"},
		},
	} {
		var out bytes.Buffer
		newLogger(config.Log{Level: config.LogDebug, Format: config.LogJSON}, &out).observe(c.event)

		var got map[string]any
		must(t, json.Unmarshal(out.Bytes(), &got))
		for _, key := range []string{"msg", "level", "time"} {
			delete(got, key)
		}
		if wanted, had := asJSON(t, c.want), asJSON(t, got); wanted != had {
			t.Errorf("%s: %s, want %s", c.event.Name, had, wanted)
		}
	}
}

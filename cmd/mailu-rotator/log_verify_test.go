package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"go.uber.org/zap/zapcore"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

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

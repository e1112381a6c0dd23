package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mailu-rotator/rotator"
)

// sent records what a journal would receive. systemd/boottest tests a real journal
// under a real systemd.
type sent struct {
	message  string
	priority journal.Priority
	fields   map[string]string
}

func journalLogger(err error) (*logger, *[]sent, *bytes.Buffer) {
	var all []sent
	var otherwise bytes.Buffer
	core := newJournalCore(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&otherwise), zap.InfoLevel))
	core.send = func(message string, priority journal.Priority, fields map[string]string) error {
		all = append(all, sent{message, priority, fields})
		return err
	}
	return &logger{zap: zap.New(core)}, &all, &otherwise
}

func TestJournalHasAFieldForEachOfAnEvent(t *testing.T) {
	log, all, _ := journalLogger(nil)

	log.observe(rotator.Event{
		Name: rotator.ServerPaused, Origin: "https://a.example", Wait: 1500 * time.Millisecond, Err: errors.New("status \u202e502"),
	})
	log.observe(rotator.Event{Name: rotator.PasswordPushed, Tenant: "below the level"})
	log.observe(rotator.Event{Name: rotator.RotationCommitted, Tenant: "t-2", User: "admin@a.example"})
	log.zap.With(zap.String("tenant", "t-1")).Error("not listening")

	want := []sent{
		{
			`server paused	{"origin": "https://a.example", "wait": "1.5s", "error": "status \u202e502"}`,
			journal.PriWarning,
			map[string]string{"EVENT": "server paused", "ORIGIN": "https://a.example", "WAIT": "1.5s", "ERROR": `status \u202e502`},
		},
		{
			`rotation committed	{"tenant": "t-2", "user": "admin@a.example"}`, journal.PriInfo,
			map[string]string{"EVENT": "rotation committed", "TENANT": "t-2", "USER": "admin@a.example"},
		},
		{
			`not listening	{"tenant": "t-1"}`, journal.PriErr,
			map[string]string{"EVENT": "not listening", "TENANT": "t-1"},
		},
	}
	if len(*all) != len(want) {
		t.Fatalf("sent %d entries: %+v", len(*all), *all)
	}
	for i, got := range *all {
		want[i].fields["SYSLOG_IDENTIFIER"] = "mailu-rotator"
		if got.message != want[i].message || got.priority != want[i].priority || !maps.Equal(got.fields, want[i].fields) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
	}
}

func TestWhatTheJournalDoesNotTakeIsLoggedAllTheSame(t *testing.T) {
	log, _, otherwise := journalLogger(errors.New("no journal"))

	log.observe(rotator.Event{Name: rotator.SweepStarted})

	if !bytes.Contains(otherwise.Bytes(), []byte("sweep started")) {
		t.Errorf("logged %q", otherwise)
	}
}

func TestOnlyStandardErrorCanBeTheJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "1:1")

	if isJournal(&bytes.Buffer{}) || isJournal(os.Stdout) || isJournal(os.Stderr) {
		t.Error("took something else for the journal")
	}
}

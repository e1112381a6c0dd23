package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mailu-rotator/internal/text"
)

// isJournal reports whether out is connected to systemd's journal (JOURNAL_STREAM of
// systemd.exec(5)), which accepts fields.
func isJournal(out io.Writer) bool {
	file, isFile := out.(interface{ Fd() uintptr })
	if !isFile || file.Fd() != 2 {
		return false
	}
	answer, err := journal.StderrIsJournalStream()
	return answer && err == nil
}

// journalCore sends entries by the journal's own protocol: an entry has its level as
// PRIORITY, its message as EVENT, and each field under its own name in capitals, so
// that `journalctl TENANT=t-1` finds a tenant's entries. MESSAGE is the line that a
// terminal would show, without the time and the level.
type journalCore struct {
	zapcore.LevelEnabler
	fields []zapcore.Field
	line   zapcore.Encoder
	send   func(message string, priority journal.Priority, fields map[string]string) error
	do     func(func() error) error // sends, now or later: the journal may block a sender
	// otherwise receives the entries that the journal did not accept.
	otherwise zapcore.Core
}

func newJournalCore(level zapcore.Level, otherwise zapcore.Core) *journalCore {
	return &journalCore{
		LevelEnabler: level,
		line:         zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "msg", EncodeDuration: zapcore.StringDurationEncoder}),
		send:         journal.Send,
		do:           func(send func() error) error { return send() },
		otherwise:    otherwise,
	}
}

// With implements zapcore.Core.
func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return &with
}

// Check implements zapcore.Core.
func (c *journalCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *journalCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	all := append(c.fields[:len(c.fields):len(c.fields)], fields...)
	line, err := c.line.EncodeEntry(entry, all)
	if err != nil {
		return err
	}
	defer line.Free()
	message := text.Escape(strings.TrimRight(line.String(), "\n"))
	named := journalFields(entry.Message, all)
	return c.do(func() error {
		if c.send(message, priority(entry.Level), named) == nil {
			return nil
		}
		return c.otherwise.Write(entry, all)
	})
}

// Sync implements zapcore.Core; the journal already has every entry.
func (c *journalCore) Sync() error { return nil }

// journalFields never begin with an underscore, which is reserved for the journal.
func journalFields(event string, fields []zapcore.Field) map[string]string {
	values := zapcore.NewMapObjectEncoder()
	for _, field := range fields {
		field.AddTo(values)
	}
	named := map[string]string{"EVENT": text.Escape(event), "SYSLOG_IDENTIFIER": "mailu-rotator"}
	for key, value := range values.Fields {
		named[strings.ToUpper(key)] = text.Escape(fmt.Sprint(value))
	}
	return named
}

func priority(level zapcore.Level) journal.Priority {
	switch level {
	case zap.DebugLevel:
		return journal.PriDebug
	case zap.InfoLevel:
		return journal.PriInfo
	case zap.WarnLevel:
		return journal.PriWarning
	}
	return journal.PriErr
}

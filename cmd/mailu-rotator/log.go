package main

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mailu-rotator/internal/config"
	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
)

// logger turns events into log lines: the event's name is the message, so that a log
// can be searched for it, and the rest are fields.
type logger struct {
	zap *zap.Logger
	out io.Writer
}

func newLogger(cfg config.Log, out io.Writer) *logger {
	level, _ := zapcore.ParseLevel(string(cfg.Level)) // checked by the configuration
	core := zapcore.NewCore(encoder(cfg.Format, out), zapcore.Lock(zapcore.AddSync(text.EscapeWriter{Writer: out})), level)
	stderr := standardErrorOf(out)
	if cfg.Format == config.LogAuto && isJournal(out) {
		inJournal := newJournalCore(core)
		inJournal.later = stderr
		core = inJournal
	}
	l := &logger{zap: zap.New(core), out: out}
	if stderr != nil {
		tell := func(n int64) { l.zap.Warn("log entries dropped", zap.Int64("entries", n)) }
		stderr.onLost.Store(&tell)
	}
	return l
}

// alsoToJournal copies what a command by hand logs to the journal of the host, where
// there is one: those who look for a tenant's history there should miss no run.
func (l *logger) alsoToJournal(level config.LogLevel) {
	if !journal.Enabled() || isJournal(l.out) {
		return
	}
	atLeast, _ := zapcore.ParseLevel(string(level))
	inJournal := newJournalCore(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), atLeast))
	inJournal.later = standardErrorOf(l.out)
	l.zap = l.zap.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return zapcore.NewTee(core, inJournal) }))
}

// standardErrorOf finds standard error, even behind a progress bar.
func standardErrorOf(out io.Writer) *standardError {
	if bar, isBar := out.(*progress); isBar {
		out = bar.out
	}
	stderr, _ := out.(*standardError)
	return stderr
}

func encoder(format config.LogFormat, out io.Writer) zapcore.Encoder {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	if format == config.LogConsole || format == config.LogAuto && isTerminal(out) {
		c.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(c)
	}
	return zapcore.NewJSONEncoder(c)
}

func (l *logger) sync() { _ = flush(l.out) } // there is no better place to report it

func (l *logger) vaultWaits(cause error, pause time.Duration) {
	l.zap.Warn("waiting for vault", zap.Error(cause), zap.Duration("wait", pause.Round(time.Millisecond)))
}

func (l *logger) observe(e rotator.Event) {
	if entry := l.zap.Check(severity(e), string(e.Name)); entry != nil {
		entry.Write(fields(e)...)
	}
}

// severity: info means that something changed, warn that an operator may look, error
// that an operator must.
func severity(e rotator.Event) zapcore.Level {
	switch e.Name {
	case rotator.RotationPrepared, rotator.PasswordPushed, rotator.PasswordVerified, rotator.TenantReported:
		return zap.DebugLevel
	case rotator.PushUncertain, rotator.RotationAbandoned, rotator.PendingRestored, rotator.AccountRestricted, rotator.ServerPaused,
		rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted, rotator.SweepMissed, rotator.RecordExpires, rotator.TenantSkipped:
		return zap.WarnLevel
	case rotator.LoginWasRefused, rotator.LoginWasNotPossible, rotator.ServerStopped, rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		return zap.ErrorLevel
	case rotator.TenantDone:
		switch {
		case e.Outcome == rotator.Claimed || e.Outcome == rotator.Blocked:
			return zap.WarnLevel
		case e.Outcome.Failure():
			return zap.ErrorLevel
		}
		return zap.DebugLevel // its steps have already been logged
	case rotator.TenantVerified:
		if e.Err != nil {
			return zap.WarnLevel
		}
		return zap.DebugLevel
	case rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished, rotator.AdditionFinished, rotator.ResealFinished:
		if e.Count > 0 || e.Deferred > 0 {
			return zap.WarnLevel
		}
	}
	return zap.InfoLevel
}

// texts makes fields of keys and values, which alternate. It omits empty values.
func texts(pairs ...string) (fields []zap.Field) {
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			fields = append(fields, zap.String(pair[0], pair[1]))
		}
	}
	return fields
}

// fields omits fields that do not apply to the event.
func fields(e rotator.Event) []zap.Field {
	all := texts("tenant", e.Tenant, "user", loggedUser(e.User), "origin", string(e.Origin), "rotation", e.Rotation, "outcome", string(e.Outcome), "state", string(e.State))
	switch e.Name {
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned, rotator.AdditionPlanned, rotator.ResealPlanned, rotator.ServerStopped:
		all = append(all, zap.Int("tenants", e.Count))
	case rotator.SweepMissed:
		all = append(all, zap.Int("overdue", e.Count))
	case rotator.SweepFinished, rotator.SweepInterrupted, rotator.RecoveryFinished, rotator.RecoveryInterrupted, rotator.AdditionFinished, rotator.ResealFinished:
		all = append(all, zap.Int("failures", e.Count))
		for _, counted := range []zap.Field{zap.Int("rotated", e.Rotated), zap.Int("finished", e.Finished), zap.Int("deferred", e.Deferred)} {
			if counted.Integer > 0 {
				all = append(all, counted)
			}
		}
	case rotator.VerificationFinished:
		all = append(all, zap.Int("problems", e.Count))
	}
	if e.Took > 0 {
		all = append(all, zap.Duration("took", e.Took.Round(time.Millisecond)))
	}
	if e.Wait > 0 {
		all = append(all, zap.Duration("wait", e.Wait.Round(time.Millisecond)))
	}
	if e.Err != nil {
		all = append(all, zap.NamedError("error", e.Err))
	}
	return all
}

// loggedUser limits the text, since a record may have any.
func loggedUser(user string) string { return fmt.Sprintf("%.*s", maxCell, user) }

// isJournal reports whether out is connected to systemd's journal (JOURNAL_STREAM of
// systemd.exec(5)), which accepts fields.
func isJournal(out io.Writer) bool {
	answer, err := journal.StderrIsJournalStream()
	return answer && err == nil && descriptor(out) == 2
}

// journalCore sends entries by the journal's own protocol: an entry has its level as
// PRIORITY, its message as EVENT, and each field under its own name in capitals, so
// that `journalctl TENANT=t-1` finds a tenant's entries. MESSAGE is the line that a
// terminal would show, without the time and the level.
type journalCore struct {
	zapcore.Core // receives the entries that the journal does not accept
	fields       []zapcore.Field
	line         zapcore.Encoder
	send         func(message string, priority journal.Priority, fields map[string]string) error
	later        *standardError // sends, since the journal may block a sender; nil: the caller does
}

func newJournalCore(otherwise zapcore.Core) *journalCore {
	return &journalCore{
		Core: otherwise,
		line: zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "msg", EncodeDuration: zapcore.StringDurationEncoder}),
		send: journal.Send,
	}
}

func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.fields = append(c.fields[:len(c.fields):len(c.fields)], fields...)
	return &with
}

func (c *journalCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c *journalCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	all := append(c.fields[:len(c.fields):len(c.fields)], fields...)
	line, err := c.line.EncodeEntry(entry, all)
	if err != nil {
		return err
	}
	defer line.Free()
	message := text.Escape(strings.TrimRight(line.String(), "\n"))
	named := journalFields(entry.Message, all)
	deliver := func() error {
		if c.send(message, priority(entry.Level), named) == nil {
			return nil
		}
		return c.Core.Write(entry, all)
	}
	if c.later == nil {
		return deliver()
	}
	c.later.enqueue(deliver)
	return nil
}

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

// passwordRevealed is the event of a break-glass reveal of a password.
const passwordRevealed = "password revealed"

// audit records an event with who caused it and where, in the system log and in our own
// at warn, whatever log.level is. A host without a system log is no reason to refuse,
// since our own log then says so; audit fails only if neither log can be written.
func (l *logger) audit(system func() (io.WriteCloser, error), event string, fields ...zap.Field) error {
	fields = append(fields, callerFields()...)
	inSystem := writeTo(system, event+" "+inOneLine(fields))
	written := "written"
	if inSystem != nil {
		written = "not written: " + inSystem.Error()
	}
	fields = append(fields, zap.String("system_log", written))
	// Bypass Check, which would apply log.level.
	entry := zapcore.Entry{Level: zap.WarnLevel, Time: time.Now(), Message: event}
	if err := errors.Join(l.zap.Core().Write(entry, fields), flush(l.out)); err != nil && inSystem != nil {
		return fmt.Errorf("%s: it can be recorded nowhere, so it is not done: %w", event, errors.Join(err, inSystem))
	}
	return nil
}

// openSystemLog opens the host's authorisation log, which auditors read.
func openSystemLog() (io.WriteCloser, error) {
	return syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "mailu-rotator")
}

func writeTo(open func() (io.WriteCloser, error), line string) error {
	log, err := open()
	if err != nil {
		return err
	}
	_, err = io.WriteString(log, line)
	return errors.Join(err, log.Close())
}

// inOneLine formats the fields as key=value, quoted if a value has spaces or control
// characters.
func inOneLine(fields []zap.Field) string {
	values := zapcore.NewMapObjectEncoder()
	pairs := make([]string, len(fields))
	for i, field := range fields {
		field.AddTo(values)
		value := fmt.Sprint(values.Fields[field.Key])
		if quoted := strconv.Quote(value); value == "" || strings.ContainsAny(value, " =") || quoted != `"`+value+`"` {
			value = quoted
		}
		pairs[i] = field.Key + "=" + value
	}
	return strings.Join(pairs, " ")
}

// callerFields say who runs this process and where. The login is the one that the
// kernel keeps through su and sudo (proc_pid_loginuid(5)); sudo's variable is only a
// claim of the environment.
func callerFields() []zap.Field {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	uid := strconv.Itoa(os.Getuid())
	return texts("by", userName(uid), "uid", uid, "login", loginName(), "sudo_user", os.Getenv("SUDO_USER"),
		"host", host, "tty", terminalName(), "pid", strconv.Itoa(os.Getpid()))
}

// userName returns the name of a user, or its number if it has no name.
func userName(uid string) string {
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

func loginName() string {
	text, err := os.ReadFile("/proc/self/loginuid")
	uid := strings.TrimSpace(string(text))
	if err != nil || uid == "4294967295" { // -1: no login, such as under a service manager
		return ""
	}
	return userName(uid)
}

// terminalName names the first standard stream that is a terminal.
func terminalName() string {
	for _, file := range []*os.File{os.Stdin, os.Stderr, os.Stdout} {
		if !isTerminal(file) {
			continue
		}
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd())); err == nil {
			return name
		}
	}
	return ""
}

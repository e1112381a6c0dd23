package main

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

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
	core := zapcore.NewCore(encoder(cfg.Format, out), zapcore.Lock(zapcore.AddSync(text.EscapeWriter{Writer: out})), levelOf(cfg.Level))
	stderr, later := standardErrorOf(out)
	if cfg.Format == config.LogAuto && isJournal(out) {
		journal := newJournalCore(levelOf(cfg.Level), core)
		if later {
			journal.do = func(send func() error) error { stderr.enqueue(send); return nil }
		}
		core = journal
	}
	l := &logger{zap: zap.New(core), out: out}
	if later {
		tell := func(n int64) { l.zap.Warn("log entries dropped", zap.Int64("entries", n)) }
		stderr.onLost.Store(&tell)
	}
	return l
}

// standardErrorOf finds standard error, even behind a progress bar.
func standardErrorOf(out io.Writer) (*standardError, bool) {
	if bar, isBar := out.(*progress); isBar {
		out = bar.out
	}
	c, found := out.(*standardError)
	return c, found
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

func levelOf(level config.LogLevel) zapcore.Level {
	switch level {
	case config.LogDebug:
		return zap.DebugLevel
	case config.LogWarn:
		return zap.WarnLevel
	case config.LogError:
		return zap.ErrorLevel
	}
	return zap.InfoLevel
}

func isTerminal(w io.Writer) bool {
	file, isFile := w.(interface{ Fd() uintptr })
	return isFile && term.IsTerminal(int(file.Fd()))
}

func (l *logger) sync() { _ = flush(l.out) } // there is no better place to report it

// vaultWaits logs why a run is waiting.
func (l *logger) vaultWaits(cause error, pause time.Duration) {
	l.zap.Warn("waiting for vault", zap.Error(cause), zap.Duration("wait", pause))
}

// observe is a rotator.Observer.
func (l *logger) observe(e rotator.Event) {
	if entry := l.zap.Check(severity(e), string(e.Name)); entry != nil {
		entry.Write(fields(e)...)
	}
}

// severity: info means that something changed, warn that an operator may look, error
// that an operator must.
func severity(e rotator.Event) zapcore.Level {
	switch e.Name {
	case rotator.RotationPrepared, rotator.PasswordPushed, rotator.PasswordVerified:
		return zap.DebugLevel
	case rotator.PushUncertain, rotator.RotationAbandoned, rotator.RecordRebased, rotator.PendingRestored, rotator.AccountRestricted, rotator.ServerPaused,
		rotator.SweepInterrupted, rotator.RecoveryInterrupted, rotator.VerificationInterrupted, rotator.SweepMissed, rotator.RecordExpires:
		return zap.WarnLevel
	case rotator.ServerStopped, rotator.SweepRefused, rotator.RecoveryRefused, rotator.VerificationRefused:
		return zap.ErrorLevel
	case rotator.TenantSkipped:
		return zap.WarnLevel
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
		if e.Count > 0 {
			return zap.WarnLevel
		}
	}
	return zap.InfoLevel
}

// fields omits fields that do not apply to the event.
func fields(e rotator.Event) []zap.Field {
	var all []zap.Field
	add := func(key, value string) {
		if value != "" {
			all = append(all, zap.String(key, value))
		}
	}
	add("tenant", e.Tenant)
	add("origin", string(e.Origin))
	add("rotation", e.Rotation)
	add("outcome", string(e.Outcome))
	add("state", string(e.State))
	switch e.Name {
	case rotator.SweepPlanned, rotator.RecoveryPlanned, rotator.VerificationPlanned, rotator.AdditionPlanned, rotator.ResealPlanned, rotator.ServerStopped:
		all = append(all, zap.Int("tenants", e.Count))
	case rotator.SweepMissed:
		all = append(all, zap.Int("overdue", e.Count))
	case rotator.SweepFinished, rotator.SweepInterrupted, rotator.RecoveryFinished, rotator.RecoveryInterrupted, rotator.AdditionFinished, rotator.ResealFinished:
		all = append(all, zap.Int("failures", e.Count))
		if e.Deferred > 0 {
			all = append(all, zap.Int("deferred", e.Deferred))
		}
	case rotator.VerificationFinished:
		all = append(all, zap.Int("problems", e.Count))
	}
	if e.Wait > 0 {
		all = append(all, zap.Duration("wait", e.Wait.Round(time.Millisecond)))
	}
	if e.Err != nil {
		all = append(all, zap.NamedError("error", e.Err))
	}
	return all
}

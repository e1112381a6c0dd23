package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// passwordRevealed is the event of a break-glass reveal of a password.
const passwordRevealed = "password revealed"

// audit records an event with who caused it and where, in the system log and in our own
// at warn, whatever log.level is. A host without a system log is no reason to refuse,
// since our own log then says so; audit fails only if neither log can be written.
func (l *logger) audit(system func() (io.WriteCloser, error), event string, fields ...zap.Field) error {
	fields = append(fields, callerFields()...)
	inSystem := writeTo(system, event+" "+inOneLine(fields))
	if inSystem == nil {
		fields = append(fields, zap.String("system_log", "written"))
	} else {
		fields = append(fields, zap.String("system_log", "not written: "+inSystem.Error()))
	}
	// Bypass Check, which would apply log.level.
	entry := zapcore.Entry{Level: zap.WarnLevel, Time: time.Now(), Message: event}
	if err := errors.Join(l.zap.Core().Write(entry, fields), flush(l.out)); err != nil && inSystem != nil {
		return fmt.Errorf("%s: it can be recorded nowhere, so it is not done: %w", event, errors.Join(err, inSystem))
	}
	return nil
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

//go:build !windows && !plan9

package main

import (
	"io"
	"log/syslog"
)

// openSystemLog opens the host's authorisation log, which auditors read.
func openSystemLog() (io.WriteCloser, error) {
	return syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "mailu-rotator")
}

//go:build !windows && !plan9

package main

import (
	"io"
	"log/syslog"
)

// openSystemLog is where auditors look: the host's log of authorisations.
func openSystemLog() (io.WriteCloser, error) {
	return syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "mailu-rotator")
}

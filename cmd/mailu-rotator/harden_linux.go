package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hardenProcess keeps passwords and keys out of core dumps, and other processes of the
// same user from reading this process's memory (prctl(2), getrlimit(2)).
func hardenProcess() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process not dumpable: %w", err)
	}
	unix.Umask(0o077)
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A share is an eighth of a core: eight workers together need one, and leave another to
// Vault, NATS, the planner and the Mailu servers. With it a rotation takes a worker 0.2 s,
// as on a core of its own beside a Mailu that hashes with 12 rounds. The period is short,
// so that a request is not held up for long. Both are microseconds.
const share, period = "2500", "20000"

// confinable reports why no control group can be made here: it needs root, and the
// controller of processor time.
func confinable() error {
	group, err := confinement(0)
	if err != nil {
		return err
	}
	return os.Remove(group)
}

// confinement makes the control group of a worker; its processes together get a share of
// a core.
func confinement(worker int) (group string, err error) {
	name := fmt.Sprintf("mailu-rotator-bench-%d-%d", os.Getpid(), worker)
	settings := map[string]string{"cpu.max": share + " " + period} // version 2
	parent := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(parent, "cgroup.controllers")); errors.Is(err, fs.ErrNotExist) { // version 1
		parent = filepath.Join(parent, "cpu")
		settings = map[string]string{"cpu.cfs_period_us": period, "cpu.cfs_quota_us": share}
	}
	group = filepath.Join(parent, name)
	if err := os.Mkdir(group, 0o755); err != nil {
		return "", err
	}
	for file, value := range settings {
		if err := os.WriteFile(filepath.Join(group, file), []byte(value), 0o600); err != nil {
			return "", errors.Join(err, os.Remove(group))
		}
	}
	return group, nil
}

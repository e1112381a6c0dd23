package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that cannot be dumped cannot be read either: its /proc files belong to
// root. Another program of the same user shows that the test would notice.
func TestTheProcessIsClosedToItsOwnUser(t *testing.T) {
	t.Parallel()
	user := ordinaryUser()

	reader := startHeld(t, user, "cat")
	program := startHeld(t, user, shared.binary, "config", "check", "--config")

	if owner := ownerOf(t, reader, "mem"); owner != user {
		t.Fatalf("cat, of user %d, belongs to user %d: this test shows nothing here", user, owner)
	}
	for _, name := range []string{"mem", "environ", "maps", "fd"} {
		if owner := ownerOf(t, program, name); owner == user {
			t.Errorf("/proc/PID/%s belongs to the program's own user", name)
		}
	}
	if text := processFile(t, program, "limits"); !regexp.MustCompile(`Max core file size +0 +0 `).MatchString(text) {
		t.Errorf("it may dump its core:\n%s", text)
	}
	if text := processFile(t, program, "status"); !regexp.MustCompile(`Umask:\s+0077\n`).MatchString(text) {
		t.Errorf("others may read what it writes:\n%s", text)
	}
}

// ordinaryUser returns the user who runs the test, or an unprivileged one instead of
// root: root's processes belong to root anyway.
func ordinaryUser() uint32 {
	if user := os.Geteuid(); user != 0 {
		return uint32(user)
	}
	return 65_533
}

// startHeld starts a command as that user. It adds a pipe as the last argument, at
// which the command waits until the test is over.
func startHeld(t *testing.T, user uint32, argv ...string) *os.Process {
	t.Helper()
	dir, err := os.MkdirTemp("", "held-") // a test's own directory is closed to other users
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o711))
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	must(t, os.Chown(pipe, int(user), -1))

	cmd := exec.Command(argv[0], append(argv[1:], pipe)...)
	cmd.Env, cmd.Dir = []string{}, "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	var writer int
	await(t, argv[0]+" to open the pipe", func() (err error) {
		writer, err = unix.Open(pipe, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // an error while the pipe has no reader
		return err
	})
	t.Cleanup(func() { _ = unix.Close(writer) })
	return cmd.Process
}

func ownerOf(t *testing.T, p *os.Process, name string) uint32 {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d/%s", p.Pid, name))
	must(t, err)
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		must(t, errors.New("no owner"))
	}
	return stat.Uid
}

func processFile(t *testing.T, p *os.Process, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Pid, name))
	must(t, err)
	return string(text)
}

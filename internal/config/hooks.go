package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// program is a command and its key.
type program struct {
	key string
	*Command
}

// programs are the hooks, including the unset ones.
func (h *Hooks) programs() []program {
	return []program{
		{"hooks.after_rotation", &h.AfterRotation},
		{"hooks.on_failure", &h.OnFailure},
		{"hooks.after_run", &h.AfterRun},
	}
}

func (l *loader) validateHooks(h *Hooks) {
	for _, p := range h.programs() {
		for i, word := range *p.Command {
			if strings.IndexByte(word, 0) >= 0 {
				l.report(fmt.Sprintf("%s[%d]", p.key, i), "a program cannot be given a zero byte")
			}
		}
		if len(*p.Command) > 0 && !filepath.IsAbs((*p.Command)[0]) {
			l.report(p.key+"[0]", "%.40q is not an absolute path: write the program's, and its arguments as further entries; there is no shell", (*p.Command)[0])
			l.broken[p.key] = true
		}
	}
}

// files are the hooks' programs: anyone who can write one of them can do what this
// program may.
func (h *Hooks) files() (all []file) {
	for _, p := range h.programs() {
		if len(*p.Command) > 0 {
			all = append(all, file{p.key, &(*p.Command)[0], CheckProgram})
		}
	}
	return all
}

// CheckProgram returns a [ProgramError] if a program cannot or must not be run. It does
// not open the file: a program need not be readable.
func CheckProgram(path string) error {
	chmod := "chmod 755 " + path
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &ProgramError{Err: err, Fix: "put the program there, then: " + chmod}
	case err != nil:
		return &ProgramError{Err: err, Fix: "see that its path can be read by this user"}
	}
	if !info.Mode().IsRegular() {
		return &ProgramError{Err: fmt.Errorf("%s is not a regular file", path), Fix: "give the hook the path of a program"}
	}
	if err := (fileRule{forbidden: 0o022, chmod: "755"}).check(path, info); err != nil {
		return &ProgramError{Err: err, Fix: chmod}
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return &ProgramError{
			Err: fmt.Errorf("%s cannot be executed (mode %04o): %s, and see that its file system is not mounted noexec", path, info.Mode().Perm(), chmod),
			Fix: chmod,
		}
	}
	return nil
}

// ProgramError says why a hook's program is not run.
type ProgramError struct {
	Err error
	Fix string // the remedy, for people
}

func (e *ProgramError) Error() string { return e.Err.Error() }

func (e *ProgramError) Unwrap() error { return e.Err }

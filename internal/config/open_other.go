//go:build !linux

package config

import (
	"os"
	"syscall"
)

// open follows symbolic links whoever made them: opening a link itself, to ask
// for its owner, is Linux's. Without O_NONBLOCK, opening a named pipe would wait
// for a writer.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

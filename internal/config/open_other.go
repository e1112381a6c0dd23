//go:build !linux

package config

import (
	"os"
	"syscall"
)

// open follows all symbolic links: only Linux can open a link itself to check its
// owner. Without O_NONBLOCK, opening a named pipe would wait for a writer.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// hasACL is false: only Linux has the lists that it means.
func hasACL(string) bool { return false }

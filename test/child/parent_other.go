//go:build !linux

package child

import "syscall"

// dieWithParent has no counterpart here: a killed parent leaves its children behind.
func dieWithParent() *syscall.SysProcAttr { return nil }

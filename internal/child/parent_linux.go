package child

import "syscall"

// dieWithParent makes the kernel kill the child when its parent is gone, be it
// by a panic, a test timeout or SIGKILL, none of which runs a clean-up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

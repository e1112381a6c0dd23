package child

import "syscall"

// dieWithParent makes the kernel kill the child when its parent ends. No clean-up code
// runs after a panic, a test timeout or SIGKILL.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

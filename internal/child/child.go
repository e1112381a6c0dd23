// Package child starts processes that do not outlive this one: the servers and
// programs of tests, of the demo and of the chaos run.
package child

import (
	"os/exec"
	"runtime"
)

// Start starts cmd, whose SysProcAttr it replaces. exited is closed when the
// process has ended and cmd.ProcessState says how.
func Start(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	cmd.SysProcAttr = dieWithParent()
	started, ended := make(chan error), make(chan struct{})
	go run(cmd, started, ended)
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}

// run starts the process and waits for it, on one thread of its own: Linux ties
// the parent-death signal to the thread that forked, not to the process, and Go
// may end a thread at any time unless a goroutine is locked to it. So the child
// lives exactly as long as this goroutine, however the parent ends.
func run(cmd *exec.Cmd, started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = cmd.Wait() // cmd.ProcessState has what callers ask for
	close(ended)
}

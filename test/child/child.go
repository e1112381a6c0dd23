// Package child starts processes that do not outlive the parent: the servers and
// programs of tests, of the demo and of the chaos run.
package child

import (
	"os/exec"
	"runtime"
)

// Start starts cmd and replaces its SysProcAttr. exited is closed when the process has
// ended; cmd.ProcessState then holds its exit status.
func Start(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	cmd.SysProcAttr = dieWithParent()
	started, ended := make(chan error), make(chan struct{})
	go run(cmd, started, ended)
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}

// run starts the process and waits for it on a locked OS thread. Linux sends the
// parent-death signal when the thread that forked ends, and Go may end any thread that
// no goroutine is locked to. So the child lives exactly as long as this goroutine,
// however the parent ends.
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

package main

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

const mb = 1e6

// usage is the resources that a process has used so far.
type usage struct {
	cpu     time.Duration // of all threads, precise
	wakeups uint64        // voluntary context switches, each followed by a wake-up
	rss     float64       // MB, currently
	file    float64       // MB of it from the binary's file, which the kernel can drop and read again
	peak    float64       // MB, maximum so far
}

// usageOf asks the kernel for every thread, because /proc/PID/status counts only the
// first thread's switches and /proc/PID/stat has the time in hundredths of a second.
func usageOf(pid int) (u usage, err error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return u, fmt.Errorf("look at process %d: %w", pid, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return u, fmt.Errorf("look at process %d: %w", pid, err)
	}
	u.rss, u.file, u.peak = float64(status.VmRSS)/mb, float64(status.RssFile)/mb, float64(status.VmHWM)/mb
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return u, fmt.Errorf("look at the threads of %d: %w", pid, err)
	}
	for _, thread := range threads {
		status, err := thread.NewStatus()
		if err != nil {
			continue // it has ended
		}
		ran, err := thread.Schedstat()
		if err != nil {
			continue
		}
		u.wakeups += status.VoluntaryCtxtSwitches
		u.cpu += time.Duration(ran.RunningNanoseconds)
	}
	return u, nil
}

// cpuOf is the processor time of a process, including ended threads, in hundredths of a
// second; 0 if it no longer exists.
func cpuOf(pid int) time.Duration {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0
	}
	return time.Duration(stat.CPUTime() * float64(time.Second))
}

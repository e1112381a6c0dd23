package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// divisionVariable holds the division of the cores: those reserved for the program and
// the baselines, and all.
const divisionVariable = "MAILU_ROTATOR_BENCH_CORES"

// divideCores restricts this process, Vault and the Mailu servers to the first half of
// the cores; in production they run on hosts of their own. It restarts this program,
// because only a new process runs entirely on the cores of one thread. A single core
// cannot be divided.
func divideCores() error {
	if os.Getenv(divisionVariable) != "" || runtime.NumCPU() < 2 {
		return nil
	}
	var allowed, back unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("which cores there are: %w", err)
	}
	var all []string
	for core := 0; len(all) < allowed.Count(); core++ {
		if !allowed.IsSet(core) {
			continue
		}
		if len(all) < allowed.Count()/2 {
			back.Set(core)
		}
		all = append(all, strconv.Itoa(core))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the new program replaces this thread
	if err := unix.SchedSetaffinity(0, &back); err != nil {
		return fmt.Errorf("keep to some cores: %w", err)
	}
	division := strings.Join(all[back.Count():], ",") + ";" + strings.Join(all, ",")
	return syscall.Exec(self, os.Args, append(os.Environ(), divisionVariable+"="+division))
}

// division returns the reserved cores, and all. Both are empty if the cores are not
// divided.
func division() (own, all string) {
	own, all, _ = strings.Cut(os.Getenv(divisionVariable), ";")
	return own, all
}

// ownCores is the number of cores reserved for the compared programs.
func ownCores() int {
	own, _ := division()
	if own == "" {
		return runtime.NumCPU()
	}
	return strings.Count(own, ",") + 1
}

// allCores is the number of all cores.
func allCores() int {
	_, all := division()
	return max(runtime.NumCPU(), strings.Count(all, ",")+1)
}

// onOwnCores returns a command line that runs on cores which Vault and Mailu do not
// use.
func onOwnCores(program string, args ...string) []string {
	own, _ := division()
	return onCores(own, program, args)
}

// onAllCores returns a command line that shares the cores with Vault and Mailu.
func onAllCores(program string, args ...string) []string {
	_, all := division()
	return onCores(all, program, args)
}

// onCores lets taskset exec the program, so that it starts on its cores.
func onCores(cores, program string, args []string) []string {
	line := append([]string{program}, args...)
	if cores == "" {
		return line
	}
	return append([]string{"taskset", "--cpu-list", cores}, line...)
}

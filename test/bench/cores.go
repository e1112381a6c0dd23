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

// divisionVariable says which cores are for what, once they have been divided:
// those of their own that the program and its rivals can have, and all.
const divisionVariable = "MAILU_ROTATOR_BENCH_CORES"

// divideCores leaves the first half of the cores to this process, Vault and the
// Mailu servers, which in earnest are on hosts of their own. It begins this program
// anew, because only a new process is wholly on the cores that one thread has.
// With one core there is nothing to divide.
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
	runtime.LockOSThread() // for the new program, which this thread becomes
	if err := unix.SchedSetaffinity(0, &back); err != nil {
		return fmt.Errorf("keep to some cores: %w", err)
	}
	division := strings.Join(all[back.Count():], ",") + ";" + strings.Join(all, ",")
	return syscall.Exec(self, os.Args, append(os.Environ(), divisionVariable+"="+division))
}

// division is the cores for those who are compared, and all. Both are empty where
// the cores are not divided.
func division() (own, all string) {
	own, all, _ = strings.Cut(os.Getenv(divisionVariable), ";")
	return own, all
}

// ownCores is how many cores those have who are compared with cores of their own.
func ownCores() int {
	own, _ := division()
	if own == "" {
		return runtime.NumCPU()
	}
	return strings.Count(own, ",") + 1
}

// allCores is how many there are.
func allCores() int {
	_, all := division()
	return max(runtime.NumCPU(), strings.Count(all, ",")+1)
}

// onOwnCores is a command line beside which Vault and Mailu take nothing.
func onOwnCores(program string, args ...string) []string {
	own, _ := division()
	return onCores(own, program, args)
}

// onAllCores is a command line that shares the cores with Vault and Mailu.
func onAllCores(program string, args ...string) []string {
	_, all := division()
	return onCores(all, program, args)
}

// onCores has taskset become the program, so that it begins with its cores.
func onCores(cores, program string, args []string) []string {
	line := append([]string{program}, args...)
	if cores == "" {
		return line
	}
	return append([]string{"taskset", "--cpu-list", cores}, line...)
}

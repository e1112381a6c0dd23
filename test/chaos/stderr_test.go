package main

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestAProcessThatEndsByItselfIsFound(t *testing.T) {
	tests := []struct {
		name         string
		script       string
		daemon, told bool
		want         bool
	}{
		{"a daemon killed", "kill -KILL $$", true, false, true},
		{"a daemon told to end", "exit 0", true, true, true},
		{"a daemon told to end at its start", "kill -TERM $$", true, true, true},
		{"a daemon that dies of SIGTERM untold", "kill -TERM $$", true, false, false},
		{"a daemon that ends untold", "exit 0", true, false, false},
		{"a daemon that ends with 141", "exit 141", true, true, false},
		{"a daemon that dies of SIGPIPE", "kill -PIPE $$", true, true, false},
		{"a run with failures", "exit 2", false, false, true},
		{"a run killed", "kill -KILL $$", false, false, true},
		{"a run that ends with 141", "exit 141", false, false, false},
		{"a run that dies of SIGPIPE", "kill -PIPE $$", false, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", test.script)
			_ = cmd.Run() // its error says what the status does

			if got := endedWell(cmd.ProcessState.Sys().(syscall.WaitStatus), test.daemon, test.told); got != test.want {
				t.Errorf("%s: ended well %t, want %t", cmd.ProcessState, got, test.want)
			}
		})
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// roleVariable makes this program play a role in its own benchmark as a separate
// process, so that it shares no heap and no scheduler with the others.
const roleVariable = "MAILU_ROTATOR_BENCH_ROLE"

// playRole plays the role in the environment, if there is one. Its task is JSON in the
// environment too, without secrets; its messages go to standard error, like the
// program's log.
func playRole() (played bool, status int) {
	name := os.Getenv(roleVariable)
	if name == "" {
		return false, 0
	}
	play, found := map[string]func(context.Context, []byte) error{
		"mailu": playMailu, "vault": playVault, "scan": playScan, "rotate": playRotate, "compute": playCompute,
	}[name]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := fmt.Errorf("no role %q", name)
	if found {
		err = play(ctx, []byte(os.Getenv(roleVariable+"_TASK")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", name+":", err)
		return true, 1
	}
	return true, 0
}

// startRole starts this program in a role.
func (s *stage) startRole(name string, task any) (*process, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	line := onOwnCores(s.self) // like the program, with which it is compared
	if name == "mailu" || name == "vault" {
		line = []string{s.self} // on the cores of this process
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name, roleVariable+"_TASK="+string(text))
	return start(cmd)
}

// tell writes an event of a role.
func tell(msg string, of any) error {
	text, err := json.Marshal(map[string]any{"msg": msg, "of": of})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stderr, "%s\n", text)
	return err
}

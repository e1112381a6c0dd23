package hook_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"mailu-rotator/internal/hook"
)

// TestMain is also the hooks' program: the test binary acts as one if it runs with a
// hook's environment.
func TestMain(m *testing.M) {
	if os.Getenv("MAILU_ROTATOR_HOOK") != "" {
		os.Exit(program(os.Args[1:]))
	}
	if err := os.Setenv("VAULT_TOKEN", "hvs.not-for-hooks"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// received is what the program record saw.
type received struct {
	Document    hook.Document
	Arguments   []string
	Environment []string
	Directory   string
	OwnGroup    bool
}

func program(args []string) int {
	switch args[0] {
	case "record": // FILE: appends its input
		return record(args)
	case "fail":
		fmt.Println("out\x1b[2J")
		fmt.Fprintln(os.Stderr, "err\u009b\u202e")
		return 3
	case "shout":
		fmt.Print(string(bytes.Repeat([]byte("x"), 1<<20)))
		return 0
	case "hang": // SOCKET: connects, then waits for nothing
		return hang(args[1])
	case "hang-two": // SOCKET: the same, after a child has
		child(args[1])
		return hang(args[1])
	case "leave": // SOCKET: leaves a child behind that holds the output open
		child(args[1])
		return 0
	}
	return 64
}

func record(args []string) int {
	got := received{Arguments: args, Environment: os.Environ(), OwnGroup: syscall.Getpgrp() == os.Getpid()}
	got.Directory, _ = os.Getwd()
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got.Document); err != nil {
		fmt.Println(err)
		return 1
	}
	if rest, err := io.ReadAll(io.MultiReader(decoder.Buffered(), os.Stdin)); err != nil || string(rest) != "\n" {
		fmt.Printf("after the document: %q, %v\n", rest, err)
		return 1
	}
	line, _ := json.Marshal(got)
	file, err := os.OpenFile(args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\n", line)
	return 0
}

func hang(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("connected")
	_, _ = io.Copy(io.Discard, conn)
	return 0
}

// child starts a process that hangs and keeps stderr open, and returns when it
// has connected.
func child(socket string) {
	cmd := exec.Command("/proc/self/exe", "hang", socket)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

package child_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"mailu-rotator/test/child"
)

// TestMain also acts as a parent that is killed: see TestChildDiesWithItsParent.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_PARENT") == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout = os.Stdout
	if _, err := child.Start(cmd); err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("started\n")
	select {}
}

func TestChildDiesWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_PARENT=1")
	parent.Stderr = os.Stderr
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	parent.Stdout = in
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(out)
	if line, err := output.ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("printed %q, error %v", line, err)
	}

	_ = parent.Process.Kill()
	_ = parent.Wait() // it was killed

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, output) // it ends with the last process that can write
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the child outlived its parent")
	}
}

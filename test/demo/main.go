// Command demo shows mailu-rotator at work: it starts a real Vault and two Mailu test
// servers on loopback, seeds a dozen tenants of many ages, lets the program show its
// plan and rotate what is due, checks the result in Vault and on the Mailu servers,
// without the program, and ends with the commands that an operator needs most. `make
// demo` runs it.
//
// With -cluster it starts a real NATS server too, and two workers, which share an
// emergency run over two dozen tenants. One of them is killed in mid-run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	binary := flag.String("binary", "bin/mailu-rotator", "the program to show")
	clustered := flag.Bool("cluster", false, "show an emergency run by several hosts")
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	play := playOneHost
	if *clustered {
		play = playCluster
	}
	err := play(ctx, *binary, *keep)
	switch {
	case ctx.Err() != nil:
		fmt.Println("\ninterrupted: everything that was started has been ended")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func playOneHost(ctx context.Context, binary string, keep bool) error {
	headline("Starting a real Vault and two Mailu servers, with a dozen tenants")
	s, err := setUp(ctx, binary, fleet{servers: 2, tenants: cast(), malformed: true})
	if err != nil {
		return err
	}
	defer s.tearDown()
	s.describe()
	s.describeTenants()

	headline("The plan: mailu-rotator --run-now --due-only --dry-run")
	if err := s.rotator(ctx, "--run-now", "--due-only", "--dry-run"); err != nil {
		return err
	}
	headline("Rotating what is due: mailu-rotator --run-now --due-only")
	if err := s.rotator(ctx, "--run-now", "--due-only"); err != nil {
		return err
	}
	headline("What is true now, asked of Vault and of each Mailu")
	if err := s.inspect(ctx, nil); err != nil {
		return err
	}
	headline("One password, opened from Vault by hand")
	if err := s.prove(ctx); err != nil {
		return err
	}
	return s.finish(ctx, keep)
}

// finish shows the daily commands, and leaves everything running if it is to be kept.
func (s *stage) finish(ctx context.Context, keep bool) error {
	for _, c := range s.commands() {
		headline(c.shows + ": mailu-rotator " + strings.Join(c.args, " "))
		if err := s.rotator(ctx, c.args...); err != nil {
			return err
		}
	}
	if keep {
		s.invite()
		<-ctx.Done()
	}
	return nil
}

// command is a command that operators often use.
type command struct {
	shows string
	args  []string
}

func (s *stage) commands() []command {
	return []command{
		{"What is wrong, and what fixes it", []string{"doctor"}},
		{"Every tenant's state", []string{"status"}},
		{"One tenant", []string{"show", s.tenants[0].user}},
		{"Does Mailu accept what Vault holds?", []string{"verify"}},
	}
}

func headline(text string) { fmt.Printf("\n== %s\n\n", text) }

// rotator runs the program as an operator would.
func (s *stage) rotator(ctx context.Context, args ...string) error {
	cmd := s.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return s.run(cmd)
}

// command is the program with the demo's configuration. When ctx ends it is asked to end.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--config", s.config)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// run expects exit status 2 where tenants are malformed: every run reports those.
func (s *stage) run(cmd *exec.Cmd) error {
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 && s.malformed {
		fmt.Println("(exit status 2: the malformed tenants need an operator)")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %v: %w", s.binary, cmd.Args[1:], err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// confirming returns the question before a run that changes the plan's tenants: one for
// the person at the terminal, nil if there is nobody to ask.
func confirming(in io.Reader, out io.Writer, mailu rotator.Mailu) func(context.Context, []sweep.Decision) bool {
	if !isTerminal(in) || !isTerminal(out) {
		return nil
	}
	return func(ctx context.Context, plan []sweep.Decision) bool {
		question := announcement(plan, mailu, computingCores())
		return question == "" || ask(ctx, in, out, question)
	}
}

// What a new password costs, see docs/performance.md: Mailu's hashing and a request, and
// on one core of this host the key and the check of Mailu's hash.
const (
	costAtMailu = 350 * time.Millisecond
	costHere    = 250 * time.Millisecond
)

// announcement says what a run will do, and about how long it takes: as long as the
// slowest server or this host. It is empty for a run without anything to do.
func announcement(plan []sweep.Decision, mailu rotator.Mailu, cores int) string {
	type server struct{ tenants, concurrent int }
	servers := map[string]server{}
	count := 0
	for _, d := range plan {
		if d.Action == rotator.Leave {
			continue
		}
		count++
		s := servers[d.API]
		s.tenants++
		if s.concurrent == 0 {
			s.concurrent = 1
			if client, err := mailu.Server(d.Credential.Origin); err == nil {
				s.concurrent = client.MaxConcurrent()
			}
		}
		servers[d.API] = s
	}
	if count == 0 {
		return ""
	}
	took := costHere * time.Duration(count) / time.Duration(cores)
	for _, s := range servers {
		took = max(took, costAtMailu*time.Duration(s.tenants)/time.Duration(s.concurrent))
	}
	where := "1 server"
	if len(servers) > 1 {
		where = fmt.Sprintf("%d servers", len(servers))
	}
	return fmt.Sprintf("%s on %s will get a new password, in about %s. Go on?", tenants(count), where, roughly(took))
}

// roughly is in minutes, or in seconds if it is shorter than one.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return max(d.Round(time.Second), time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// ask puts a question to the person at a terminal. Only y and yes are consent; the end
// of ctx is not. It polls because nothing interrupts a read of a terminal.
func ask(ctx context.Context, in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	line := make([]byte, 4096) // the longest line of a terminal (termios(3))
	read := 0
	for read == 0 && ctx.Err() == nil {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor(in)), Events: unix.POLLIN}}, 50) //nolint:gosec // G115: a file descriptor; 50 ms
		if ready == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		if read, err = in.Read(line); err != nil { // the end of the input, too
			break
		}
	}
	answer := string(line[:read])
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	if !strings.HasSuffix(answer, "\n") {
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, "nothing was changed")
	return false
}

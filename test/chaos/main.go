// Command chaos looks for a way to lock a tenant out: the real program, as two
// daemons and an emergency run at once, on a real Vault and Mailu test servers,
// while processes are killed at every step, requests go wrong in every way,
// Vault dies, is sealed and forgets its tokens, a clock is stepped, and records
// delete themselves. Some nights follow, in which a daemon is restarted. Who was
// locked out is decided by an audit of all that Vault ever stored and Mailu ever
// set, never by the program's own word. `make chaos` runs it.
//
// A seed decides what is aimed at, and when. It does not decide how the machine
// schedules the processes, so a run can be repeated but not replayed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 5*time.Minute, "how long the faults last")
	flag.IntVar(&o.tenants, "tenants", 200, "how many tenants")
	flag.IntVar(&o.nights, "nights", 3, "how many nights follow the faults")
	flag.Uint64Var(&o.seed, "seed", 0, "what chance begins with; 0 draws one")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32()) + 1
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, o, os.Stdout)
	switch {
	case ctx.Err() != nil:
		fmt.Println("\ninterrupted: everything that was started has been ended")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	case !r.good():
		os.Exit(1)
	}
}

// run is a whole run; what it finds is in the result, and printed. An error
// means that it could not take place.
func run(ctx context.Context, o options, out io.Writer) (result, error) {
	fmt.Fprintf(out, "seed %d: %d tenants, %s of faults\n", o.seed, o.tenants, o.duration)
	s, err := setUp(ctx, o)
	if err != nil {
		return result{}, err
	}
	defer s.tearDown()
	var sampled []finding
	if o.duration > 0 {
		sampled, err = s.storm(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result{}, err
	}
	fmt.Fprintf(out, "calm: one undisturbed run, %d nights, then the audit\n", o.nights)
	r, err := s.calm(ctx)
	if err != nil {
		return result{}, err
	}
	stories, err := s.stories(ctx)
	if err != nil {
		return result{}, err
	}
	all := s.result(r, stories, sampled)
	all.print(out)
	if all.sum.committed == 0 {
		return all, errors.New("nothing was rotated, so nothing is proven; a process said last:\n" + s.slots[0].log.tail())
	}
	return all, nil
}

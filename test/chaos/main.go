// Command chaos tries to lock a tenant out: it runs the real program, as two daemons
// and an emergency run at once, on a real Vault and Mailu test servers, while it kills
// processes at every step, breaks requests in every way, crashes and seals Vault and
// revokes its tokens, steps a clock, and lets records delete themselves. Some nights
// follow, in which a daemon is restarted. An audit of everything that Vault ever stored
// and Mailu ever set decides whether a tenant was locked out, never the program's own
// reports. `make chaos` runs it.
//
// With -cluster it tries to break a fleet of several hosts: two daemons, three workers and
// emergency runs, which a real NATS server connects. They are killed and stopped at every
// step and cut off, and NATS is killed, stopped and emptied. More judges watch then: each
// password has a reason, no Mailu server has too many requests at a time, a wrong token is
// sent once in a run, and no secret is in what NATS stores.
//
// With -raft Vault is a cluster of three nodes with Integrated Storage, and the processes
// know all of them. The leader is killed, or steps down, at every step of a run; nodes are
// sealed, cut off from their peers, and stand still.
//
// A seed determines the targets and times of the faults. It does not determine how the
// machine schedules the processes, so a run can be repeated but not replayed.
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
	flag.BoolVar(&o.cluster, "cluster", false, "several hosts, which NATS connects")
	flag.BoolVar(&o.raft, "raft", false, "a Vault of three nodes that fails over")
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

// run is a whole run; its findings are in the result, and printed. An error means that
// it could not start.
func run(ctx context.Context, o options, out io.Writer) (result, error) {
	fmt.Fprintf(out, "seed %d: %d tenants, %s of faults\n", o.seed, o.tenants, o.duration)
	s, err := setUp(ctx, o)
	if err != nil {
		return result{}, err
	}
	defer s.tearDown()
	var sampled []finding
	if o.duration > 0 {
		sampled, err = s.faultPhase(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result{}, err
	}
	fmt.Fprintf(out, "final check: one undisturbed run, %d nights, then the audit\n", o.nights)
	r, err := s.finalCheck(ctx)
	if err != nil {
		return result{}, err
	}
	histories, err := s.histories(ctx)
	if err != nil {
		return result{}, err
	}
	leaked, err := s.judgeLeaks()
	if err != nil {
		return result{}, err
	}
	r.findings = append(r.findings, leaked...)
	all := s.result(r, histories, sampled)
	all.print(out)
	if all.sum.committed == 0 {
		return all, errors.New("nothing was rotated, so nothing is proven; a process said last:\n" + s.processes[0].log.tail())
	}
	return all, nil
}

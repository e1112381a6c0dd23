package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// playCluster shows an emergency run that two workers share, one of which dies.
func playCluster(ctx context.Context, binary string, keep bool) error {
	headline("Starting a real Vault, a real NATS and three Mailu servers, with two dozen tenants")
	s, err := setUp(ctx, binary, fleet{servers: 3, tenants: many(24), clustered: true})
	if err != nil {
		return err
	}
	defer s.tearDown()
	s.describe()

	headline("Two workers, as on two hosts: mailu-rotator worker")
	var workers []*worker
	for _, name := range []string{"worker 1", "worker 2"} {
		w, err := s.startWorker(ctx, name)
		if err != nil {
			return err
		}
		defer w.stop()
		workers = append(workers, w)
	}

	headline("An emergency run that they share, until one of them is killed: mailu-rotator --run-now")
	killed, err := s.runWithDeath(ctx, workers)
	if err != nil {
		return err
	}
	headline("What is true now, asked of Vault and of each Mailu")
	if err := s.inspectShares(ctx, workers, killed); err != nil {
		return err
	}
	return s.finish(ctx, keep)
}

// enough tenants of a worker are rotated when it is killed: some remain.
const enough = 3

// runWithDeath does an emergency run, and kills the worker that is the first to have
// rotated enough tenants.
func (s *stage) runWithDeath(ctx context.Context, workers []*worker) (killed *worker, err error) {
	cmd := s.command(ctx, "--run-now")
	cmd.Stdout, cmd.Stderr = os.Stdout, &narrator{name: "planner"}
	ended := make(chan error, 1)
	go func() { ended <- s.run(cmd) }()
	for killed == nil {
		select {
		case err := <-ended:
			return nil, errors.Join(err, errors.New("the run ended before a worker could be killed"))
		case <-time.After(10 * time.Millisecond):
		}
		for _, w := range workers {
			if killed == nil && len(w.log.rotated()) >= enough {
				killed = w
			}
		}
	}
	killed.kill()
	fmt.Printf("%s  *** killed, with SIGKILL\n", killed.log.name)
	return killed, <-ended
}

// inspectShares says who did what. What no other worker has logged was done by the one
// that was killed, which may have died before it logged it.
func (s *stage) inspectShares(ctx context.Context, workers []*worker, killed *worker) error {
	by, tenants := map[string]string{}, map[string]int{}
	for _, t := range s.tenants {
		by[t.id] = killed.log.name
	}
	for _, w := range workers {
		for _, id := range w.log.rotated() {
			by[id] = w.log.name
		}
	}
	for _, name := range by {
		tenants[name]++
	}
	if err := s.inspect(ctx, func(t tenant) string { return by[t.id] }); err != nil {
		return err
	}
	for _, w := range workers {
		fate := "also what the other one had begun"
		if w == killed {
			fate = "then killed"
		}
		fmt.Printf("%s: %d tenants, %s\n", w.log.name, tenants[w.log.name], fate)
	}
	return nil
}

package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"mailu-rotator/test/faultproxy"
)

// faultPhase is the phase with faults. It returns when every process has ended, with the
// sampler's findings; an error means that the run could not continue.
func (s *stage) faultPhase(ctx context.Context) (findings []finding, err error) {
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	defer end()
	group.Go(func() error {
		defer end()
		s.await(ctx)
		return nil
	})
	actors := uint64(0)
	chance := func() *rand.Rand {
		actors++
		return rand.New(rand.NewPCG(s.seed, actors))
	}
	for i, p := range s.processes {
		s.observe(p, i, chance())
		life, hunt := chance(), chance()
		group.Go(func() error { return p.run(ctx, life) })
		group.Go(func() error { s.hunters(ctx, p, hunt); return nil })
		for range s.fronts() {
			faults := chance()
			group.Go(func() error { s.requestFaults(ctx, p, faults); return nil })
		}
	}
	outages, edits, rivals, ends := chance(), chance(), chance(), chance()
	group.Go(func() error { return s.causeOutages(ctx, outages) })
	group.Go(func() error { s.operator(ctx, edits); return nil })
	group.Go(func() error { findings = s.sampler(ctx); return nil })
	switch {
	case s.cluster:
		group.Go(func() error { s.stopper(ctx, ends); return nil })
	case !s.raft:
		group.Go(func() error { return s.rivals(ctx, rivals) })
		group.Go(func() error { s.expire(ctx, ends); return nil })
	}
	err = group.Wait() // before reading findings
	for _, p := range s.processes {
		findings = append(findings, p.findings...)
	}
	findings = append(findings, s.judgeRivals()...)
	return findings, err
}

// observe has the requests of a process noted as they pass.
func (s *stage) observe(p *process, i int, steps *rand.Rand) {
	for j, g := range p.gates {
		g.Inject(faultproxy.Fault{Match: func(r *http.Request) bool {
			seen := g.watch.see(r)
			s.tally.add("steps", string(seen.step))
			p.work.begins(seen.tenant)
			s.watchRivals(p, seen)
			if seen.step == commit && p.unread.Load() {
				s.tally.add("stderr", commitsUnread)
			}
			if !s.cluster && !s.raft && i == steppedProcess && j == 0 && seen.step == mount {
				s.stepClock(steps)
			}
			return false
		}})
	}
}

// await returns when the time is up and, if the run has patience, everything has
// occurred.
func (s *stage) await(ctx context.Context) {
	pause(ctx, s.duration)
	for late := time.Now().Add(s.patience); ctx.Err() == nil && len(s.missing()) > 0 && time.Now().Before(late); {
		pause(ctx, 100*time.Millisecond)
	}
}

// breathe is a random pause between two faults. Once everything has occurred the pauses
// get longer, so that most rotations are hardly disturbed: a run in which nothing ever
// succeeds proves little.
func (s *stage) breathe(ctx context.Context, rng *rand.Rand, longest time.Duration) {
	if len(s.missing()) == 0 {
		longest *= 5
	}
	pause(ctx, between(rng, longest/10, longest))
}

// missing names required events that have not occurred yet.
func (s *stage) missing() []string {
	var all []string
	want := func(group, name string) {
		if s.tally.of(group, name) == 0 {
			all = append(all, name)
		}
	}
	for _, o := range s.outages() {
		want("faults", o.name)
	}
	if s.cluster {
		want("faults", stoppedShort)
		want("faults", stoppedLong)
		for _, what := range []step{list, publish, follow, prepare, push, verify, commit} { // the others are rare
			want("killed at", string(what))
		}
		return all
	}
	if s.raft {
		for _, f := range failovers() {
			if f.required() {
				want("failovers", f.String())
			}
		}
		return all
	}
	for _, k := range s.processes[0].kills() {
		want("kills", k.String())
	}
	for _, t := range troubles() {
		want("faults", t.name)
	}
	want("clock", refusedByGuard)
	for _, name := range []string{readerGone, readerStops, commitsUnread} {
		want("stderr", name)
	}
	for _, name := range []string{otherSpelling, otherOrigin, listsWithBoth} {
		want("rivals", name)
	}
	for _, name := range []string{vanished, vanishedHalfFinished} {
		want("expiry", name)
	}
	return all
}

// fronts is the number of traps for each process at a time. In a cluster no request
// fails by itself: what it does then is what one host does.
func (s *stage) fronts() int {
	if s.cluster || s.raft {
		return 0
	}
	return 2
}

// calm is the longest pause between two attacks on the process, until everything has
// occurred.
func (s *stage) calm(p *process) time.Duration {
	switch {
	case s.raft:
		return 20 * time.Second // a failover takes seconds, and rotations are to end between two
	case !s.cluster:
		return time.Second
	case !p.daemon:
		return 20 * time.Second // some runs are to end
	}
	return ackWait // a batch is back after that
}

// steppedSlot is the daemon on the stepped clock.
const steppedProcess = 1

// stepClock sets the clock at the start of a session, before the program compares it
// with Vault's. The protocol promises nothing for a step in the middle of a sweep: see
// docs/reliability.md.
func (s *stage) stepClock(rng *rand.Rand) {
	kind, err := s.clock.step(rng)
	if err != nil {
		kind = "steps that failed"
	}
	s.tally.add("clock", kind)
}

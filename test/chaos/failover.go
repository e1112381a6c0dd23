package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault/vaulttest"
)

// failover is a loss of the leader at a step of a process.
type failover struct {
	kill // the moment
	how  string
}

const (
	leaderLost      = "vault: the leader is lost at a step"
	leaderKilled    = "the leader is killed"
	leaderStepsDown = "the leader steps down"
)

func (f failover) String() string { return fmt.Sprintf("%s: %s", f.how, f.kill) }

// failovers are all combinations to try. A request that is under way is one before, as the
// leader sees it.
func failovers() []failover {
	var all []failover
	for _, how := range []string{leaderKilled, leaderStepsDown} {
		for _, what := range steps() {
			for _, where := range []place{before, after} {
				all = append(all, failover{kill{what, where}, how})
			}
		}
	}
	return all
}

// required reports whether a run is to see the failover: abandons and take-overs are rare,
// and a step-down is the milder loss.
func (f failover) required() bool {
	switch f.step {
	case prepare, commit:
		return f.how == leaderKilled || f.place == after
	case list, push, verify:
		return f.how == leaderKilled && f.place == before
	}
	return false
}

// nodeOutages are the faults of a Vault of several nodes. One node is lost at a time.
func nodeOutages() []outage {
	atStep := outage{leaderLost, (*stage).failOver}
	return []outage{
		atStep, atStep, atStep, atStep, atStep, // so often, since there are many steps
		{"vault: the leader is sealed and unsealed", (*stage).sealLeader},
		{"vault: the leader is cut off from its peers", (*stage).isolateLeader},
		{"vault: the leader stands still", (*stage).pauseLeader},
		{"vault: all tokens revoked", (*stage).revokeTokensPatiently},
	}
}

// revokeTokensPatiently tries again if the leader changes in the middle: Vault answers
// that with 400.
func (s *stage) revokeTokensPatiently(ctx context.Context, rng *rand.Rand) (err error) {
	for range 10 {
		if err = s.revokeTokens(ctx, rng); err == nil {
			return nil
		}
		pause(ctx, time.Second)
	}
	return err
}

// rareFirst is how long a step is awaited at which the leader was never lost: a process
// takes some of them only when it starts.
const rareFirst = 10 * time.Second

// failOver loses the leader at the next step at which that has happened least often.
func (s *stage) failOver(ctx context.Context, rng *rand.Rand) error {
	leader, err := s.nodes.Leader(ctx)
	if err != nil {
		return err
	}
	how, where := s.chooseLoss(rng)
	fault := faultproxy.Fault{Kind: faultproxy.Delay}
	if where == after {
		fault.Kind = faultproxy.ResetAfter // the answer is lost with the leader
	}
	var gates, atMailu []*gate
	for _, p := range s.processes {
		gates, atMailu = append(gates, p.gates...), append(atMailu, p.atMailu...)
	}
	if s.lacks(failover{kill{abandon, where}, how}) {
		refusal := lay(atMailu, isStep(push), refused(), func(m sighting) { s.strike(m, "mailu: refused (400)") })
		defer refusal.take()
	}
	failed, begun := make(chan error, 1), time.Now()
	trap := lay(gates, func(m sighting) bool {
		f := failover{kill{m.step, where}, how}
		return s.isLeast(f) && (s.lacks(f) || time.Since(begun) > rareFirst)
	}, fault, func(m sighting) {
		f := failover{kill{m.step, where}, how}
		s.tally.add("failovers", f.String())
		if t := s.byID[m.tenant]; t != nil {
			t.note("chaos  " + f.String())
		}
		if how == leaderKilled {
			leader.Kill()
			return
		}
		client, err := leader.Client()
		if err == nil {
			err = client.Sys().StepDownWithContext(ctx)
		}
		failed <- err
	})
	defer trap.take()
	if !trap.await(ctx, 20*time.Second) {
		return nil
	}
	if how == leaderStepsDown {
		return <-failed
	}
	pause(ctx, between(rng, 0, 3*time.Second))
	return s.nodes.Return(ctx, leader)
}

// chooseLoss returns how and where the leader is lost in a failover that the run lacks, in a
// required one first.
func (s *stage) chooseLoss(rng *rand.Rand) (how string, where place) {
	all := failovers()
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	chosen := all[0]
	for _, f := range all {
		if s.wants(f) {
			return f.how, f.place
		}
		if s.lacks(f) {
			chosen = f
		}
	}
	return chosen.how, chosen.place
}

func (s *stage) lacks(f failover) bool { return s.tally.of("failovers", f.String()) == 0 }

// wants reports whether the run has still to see the failover.
func (s *stage) wants(f failover) bool { return f.required() && s.lacks(f) }

// isLeast reports whether the failover is among the least frequent of its kind; the
// required ones come first.
func (s *stage) isLeast(f failover) bool {
	for _, other := range failovers() {
		if other.how == f.how && other.place == f.place && s.wants(other) {
			return s.wants(f)
		}
	}
	return f.step != "" && f.step != "other" && s.tally.of("failovers", f.String()) <= s.least(f)
}

// least is the smallest count of the failovers of f's kind that have happened at all.
func (s *stage) least(f failover) int {
	least := -1
	for _, other := range failovers() {
		if n := s.tally.of("failovers", other.String()); other.how == f.how && other.place == f.place && n > 0 && (least < 0 || n < least) {
			least = n
		}
	}
	return max(least, 0)
}

// sealLeader kills a leader that hangs while it is sealed: Vault can, with requests in
// flight.
func (s *stage) sealLeader(ctx context.Context, rng *rand.Rand) error {
	regain := func(leader *vaulttest.Server) error { return leader.Unseal(ctx) }
	seal := func(leader *vaulttest.Server) error {
		limited, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if leader.Seal(limited) != nil {
			s.tally.add("faults", "vault: the leader hangs while it is sealed, and is killed")
			leader.Kill()
			regain = func(leader *vaulttest.Server) error { return leader.Restart(ctx) }
		}
		return nil
	}
	return s.lose(ctx, rng, 4*time.Second, seal, func(leader *vaulttest.Server) error { return regain(leader) })
}

func (s *stage) isolateLeader(ctx context.Context, rng *rand.Rand) error {
	return s.lose(ctx, rng, 8*time.Second, s.nodes.Isolate,
		func(*vaulttest.Server) error { s.nodes.Heal(); return nil })
}

func (s *stage) pauseLeader(ctx context.Context, rng *rand.Rand) error {
	return s.lose(ctx, rng, 8*time.Second, (*vaulttest.Server).Pause, (*vaulttest.Server).Continue)
}

// lose takes the leader away for a while, and waits until it is back.
func (s *stage) lose(ctx context.Context, rng *rand.Rand, longest time.Duration, lose, regain func(*vaulttest.Server) error) error {
	leader, err := s.nodes.Leader(ctx)
	if err != nil {
		return err
	}
	if err := lose(leader); err != nil {
		return err
	}
	pause(ctx, between(rng, 0, longest))
	if err := regain(leader); err != nil {
		return err
	}
	return s.nodes.Await(ctx, leader)
}

// restoreNodes waits until every node serves.
func (s *stage) restoreNodes(ctx context.Context) error {
	s.nodes.Heal()
	for _, node := range s.nodes.Nodes {
		if err := s.nodes.Await(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

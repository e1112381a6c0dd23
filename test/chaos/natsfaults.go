package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"mailu-rotator/test/faultproxy"
)

// natsSteps are what a client sends in each step, see the NATS protocol and JetStream's
// API.
var natsSteps = map[step]string{
	publish:     "PUB mr.work.",
	follow:      "$JS.API.CONSUMER.MSG.NEXT.MR_RESULTS.",
	report:      "PUB mr.results.",
	acknowledge: "+ACK",
}

// layAt makes it a trap for the next request to NATS as well. With pass the request
// still arrives.
func (t *trap) layAt(link *faultproxy.Link, wanted func(step) bool, pass bool, then func(sighting)) {
	link.Watch(func(sent []byte) bool {
		for what, text := range natsSteps {
			if bytes.Contains(sent, []byte(text)) && wanted(what) && t.spent.CompareAndSwap(false, true) {
				then(sighting{step: what})
				close(t.struck)
				return pass
			}
		}
		return true
	})
	t.withdraw = append(t.withdraw, func() { link.Watch(nil) })
}

func natsOutages() []outage {
	return []outage{
		{"nats: killed and restarted", (*stage).restartNATS},
		{"nats: stopped past ack_wait", (*stage).pauseNATS},
		{"nats: emptied", (*stage).emptyNATS},
		{"nats: one process cut off past ack_wait", (*stage).cutOff},
		{"nats: its answers to one process cut off", (*stage).cutAnswers},
	}
}

func (s *stage) restartNATS(ctx context.Context, rng *rand.Rand) error {
	s.nats.Kill()
	pause(ctx, between(rng, 0, 3*time.Second))
	return s.nats.Restart(ctx)
}

func (s *stage) pauseNATS(ctx context.Context, rng *rand.Rand) error {
	if err := s.nats.Pause(); err != nil {
		return err
	}
	pause(ctx, between(rng, ackWait, ackWait+time.Second))
	return s.nats.Continue()
}

// emptyNATS first looks for what must not be in the store.
func (s *stage) emptyNATS(ctx context.Context, _ *rand.Rand) error {
	s.nats.Kill()
	if err := s.keepStore(); err != nil {
		return err
	}
	return s.nats.Empty(ctx)
}

// keepStore keeps the bytes of NATS' store, which must not run, for the judge.
func (s *stage) keepStore() error {
	stored, err := s.nats.StoreBytes()
	s.leaks.stores = append(s.leaks.stores, stored)
	return err
}

func (s *stage) cutOff(ctx context.Context, rng *rand.Rand) error {
	link := s.processes[rng.IntN(len(s.processes))].link
	link.Cut()
	pause(ctx, between(rng, ackWait, ackWait+time.Second))
	link.Heal()
	return nil
}

func (s *stage) cutAnswers(ctx context.Context, rng *rand.Rand) error {
	link := s.processes[rng.IntN(len(s.processes))].link
	link.CutAnswers()
	pause(ctx, between(rng, time.Second, ackWait))
	link.Heal()
	return nil
}

// Processes that went on after their batch had lapsed, and after their claims.
const (
	stoppedShort = "process stopped past ack_wait, and continued"
	stoppedLong  = "process stopped past ack_wait and its claims, and continued"
)

// stopper stops one process after the other, often as a request of a rotation passes.
func (s *stage) stopper(ctx context.Context, rng *rand.Rand) {
	moments := []step{prepare, push, verify, commit}
	for ctx.Err() == nil {
		s.breathe(ctx, rng, 2*time.Second)
		p := s.processes[rng.IntN(len(s.processes))]
		what, long := moments[rng.IntN(len(moments))], between(rng, ackWait, ackWait+time.Second)
		if rng.IntN(2) == 0 {
			long += 3 * time.Second
		}
		stop := func(sighting) { p.halt() }
		trap := lay(p.gates, isStep(what), faultproxy.Fault{Kind: faultproxy.Delay}, stop)
		struck := trap.await(ctx, 3*time.Second)
		trap.take()
		if !struck {
			if !trap.spent.CompareAndSwap(false, true) {
				<-trap.struck // it struck after all
			} else {
				stop(sighting{})
			}
		}
		pause(ctx, long)
		p.goOn()
		switch {
		case ctx.Err() != nil:
		case long > clusterClaimTTL:
			s.tally.add("faults", stoppedLong)
		default:
			s.tally.add("faults", stoppedShort)
		}
	}
}

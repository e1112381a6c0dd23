package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// night is one tick of a schedule with a jitter and a window. During it one daemon is
// ended in its jitter, restarted, ended in mid-sweep, and restarted. No other fault
// occurs, and no other process does the daemon's work. The promise: for each tenant
// that is due at the tick, exactly one rotation starts between the tick and the end of
// the window, and it is finished before the next tick, at the latest when a dead
// process's claim has expired and the daemon has checked again.
type night struct {
	tick  time.Time
	every time.Duration // until the next one
}

const (
	nightJitter = 4 * time.Second
	nightWindow = 30 * time.Second
	// nightRest is how long a rotation may stay half-finished after its process died:
	// its claim, and the time until others check it.
	nightRest = claimTTL + 8*time.Second
	// nightTenants is how many tenants become due: few enough for a slow machine to
	// rotate within the window.
	nightTenants = 12
)

// nightAfter finds a schedule with a tick soon after a moment and no other tick within
// a minute of it. A daemon counts @every from a fixed Monday, so the interval
// determines when its ticks come.
func nightAfter(moment time.Time) night {
	for tick := moment.Truncate(time.Second).Add(time.Second); ; tick = tick.Add(time.Second) {
		for every := time.Minute; every < 2*time.Minute; every += time.Second {
			if tick.Truncate(every).Equal(tick) {
				return night{tick, every}
			}
		}
	}
}

// closes is the end of the window: no rotation may start after it.
func (n night) closes() time.Time { return n.tick.Add(nightJitter + nightWindow) }

// judge checks when rotations of one tenant were started, and returns what is wrong.
func (n night) judge(begun []time.Time) string {
	switch {
	case len(begun) == 0:
		return missedNight
	case len(begun) > 1:
		return fmt.Sprintf("was rotated %d times in one night", len(begun))
	case begun[0].Before(n.tick) || begun[0].After(n.closes()):
		return fmt.Sprintf("was rotated at %s, outside of the night", clockTime(begun[0]))
	}
	return ""
}

const missedNight = "missed a night: no rotation was begun"

// nights runs the number of nights in the options. A jitter may be too short to end the
// daemon in it, so up to as many additional nights follow until each way to end it has
// occurred.
func (s *stage) nights(ctx context.Context, r *finalState) error {
	rng := rand.New(rand.NewPCG(s.seed, 0))
	for i := 0; i < s.options.nights || i < 2*s.options.nights && r.missed == 0 && len(s.missedEnds()) > 0; i++ {
		slept, err := s.fallDue(ctx)
		if err != nil {
			return err
		}
		n := nightAfter(time.Now().Add(3 * time.Second))
		if err := s.night(ctx, n, slept, nightSignals[i%2], nightSignals[(i+1)%2], rng, r); err != nil {
			return err
		}
		s.tally.add("nights", "nights")
		if err := s.judgeNight(ctx, n, slept, r); err != nil {
			return err
		}
	}
	return nil
}

// sleeper is a due tenant, and the version that made it so.
type sleeper struct {
	*tenant
	version int
}

// fallDue ages the passwords of some tenants.
func (s *stage) fallDue(ctx context.Context) (all []sleeper, err error) {
	for _, t := range s.tenants {
		rec, err := s.eyes.read(ctx, t.id, 0)
		if err != nil {
			return nil, err
		}
		if rec.fields["rotation_policy"] == "manual" || rec.pending != "" {
			continue
		}
		if err := s.eyes.age(t.id, rec); err != nil {
			return nil, err
		}
		if err := s.eyes.write(ctx, t.id, rec.version, rec.fields); err != nil {
			return nil, err
		}
		if all = append(all, sleeper{t, rec.version + 1}); len(all) == nightTenants {
			break
		}
	}
	return all, nil
}

// night runs the daemon through one night, and ends it twice.
func (s *stage) night(ctx context.Context, n night, due []sleeper, inJitter, inSweep syscall.Signal, rng *rand.Rand, r *finalState) error {
	config := filepath.Join(s.dir, "night.yaml")
	err := s.writeConfig(config, s.vaults(), s.origins(), "", rotation{
		Schedule: "@every " + n.every.String(), Jitter: nightJitter.String(), Window: nightWindow.String(), ClaimTTL: claimTTL.String(), Grace: "5s",
	})
	if err != nil {
		return err
	}
	d := &nightDaemon{process: process{name: "daemon of the nights", binary: s.program, args: []string{"--config", config}, daemon: true}}
	d.log = s.newLog()
	d.log.heard = d.heard
	part, begun := rng.Float64(), 1+rng.IntN(max(len(due)/2, 1))
	lives := []struct {
		over   func(watched) bool
		signal syscall.Signal
	}{
		{func(w watched) bool {
			jitter := w.begins.Sub(n.tick)
			return w.scheduled && !time.Now().Before(n.tick.Add(time.Duration(part*float64(jitter))))
		}, inJitter},
		{func(w watched) bool { return w.prepared >= begun }, inSweep},
		{func(watched) bool { return s.settled(ctx, n, due) }, syscall.SIGTERM},
	}
	for i, life := range lives {
		last := n.closes()
		if i == len(lives)-1 {
			last = last.Add(nightRest)
		}
		where, err := d.live(ctx, life.over, last, life.signal)
		if err != nil {
			return err
		}
		if i < len(lives)-1 {
			s.tally.add("nights", nightEnd(where, life.signal))
		}
	}
	r.findings = append(r.findings, d.findings...)
	return nil
}

// settled: each tenant is rotated, or has missed the night, and nothing is pending.
func (s *stage) settled(ctx context.Context, n night, due []sleeper) bool {
	return !slices.ContainsFunc(due, func(t sleeper) bool {
		rec, err := s.eyes.read(ctx, t.id, 0)
		return err != nil || rec.pending != "" || rec.version == t.version && time.Now().Before(n.closes())
	})
}

// judgeNight uses what Vault has stored since the tenants became due.
func (s *stage) judgeNight(ctx context.Context, n night, due []sleeper, r *finalState) error {
	for _, t := range due {
		newest, err := s.eyes.read(ctx, t.id, 0)
		if err != nil {
			return err
		}
		aged, err := s.eyes.read(ctx, t.id, t.version)
		if err != nil {
			return err
		}
		var begun []time.Time
		for former, i := "", t.version+1; i <= newest.version; i++ {
			rec, err := s.eyes.read(ctx, t.id, i)
			if err != nil {
				return err
			}
			if rec.pending != "" && rec.pending != former {
				begun = append(begun, rec.created)
			}
			former = rec.pending
		}
		what := n.judge(begun)
		if what == missedNight {
			r.missed++
		}
		if what == "" && (newest.pending != "" || newest.current == aged.current) {
			what = "was left half-finished by the night"
		}
		if what == "" {
			s.tally.add("nights", "rotations")
			continue
		}
		what = fmt.Sprintf("%s (the tick came at %s, the window closed at %s)", what, clockTime(n.tick), clockTime(n.closes()))
		r.findings = append(r.findings, finding{tenant: t.id, at: time.Now(), what: what})
	}
	return nil
}

// nightDaemon is the only daemon of a night, watched by its log.
type nightDaemon struct {
	process

	seen    sync.Mutex // guards watched
	watched watched
}

// watched is the progress of the process.
type watched struct {
	scheduled bool
	begins    time.Time // the next sweep, by the jitter
	sweeps    bool
	done      bool // the sweep has ended
	prepared  int  // rotations started
}

func (d *nightDaemon) heard(e event) {
	d.seen.Lock()
	defer d.seen.Unlock()
	w := &d.watched
	switch e.Message {
	case "next sweep scheduled":
		wait, _ := time.ParseDuration(e.Wait) // zero if it starts immediately
		w.scheduled, w.begins = true, e.Time.Add(wait)
	case "sweep started":
		w.sweeps = true
	case "sweep finished":
		w.done = true
	case "rotation prepared":
		w.prepared++
	}
}

func (d *nightDaemon) look() watched {
	d.seen.Lock()
	defer d.seen.Unlock()
	return d.watched
}

// live starts the daemon, ends it when over returns true or at the last moment, and
// returns what the daemon was doing then.
func (d *nightDaemon) live(ctx context.Context, over func(watched) bool, last time.Time, signal syscall.Signal) (where string, err error) {
	d.seen.Lock()
	d.watched = watched{}
	d.seen.Unlock()
	cmd := d.command()
	exited, err := d.start(cmd)
	if err != nil {
		return "", fmt.Errorf("%s: %w", d.name, err)
	}
	for ctx.Err() == nil && time.Now().Before(last) && !over(d.look()) {
		pause(ctx, 20*time.Millisecond)
	}
	switch w := d.look(); {
	case w.done:
		where = "after the sweep"
	case w.sweeps:
		where = inMidSweep
	default:
		where = inTheJitter
	}
	if signal == syscall.SIGKILL {
		d.kill()
		<-exited
		return where, ctx.Err()
	}
	if err := d.end(cmd, exited); err != nil {
		return where, err
	}
	return where, ctx.Err()
}

// Where a daemon is ended during the nights, and how.
const (
	inTheJitter = "in the jitter"
	inMidSweep  = "in mid-sweep"
)

var nightSignals = []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}

func nightEnd(where string, by syscall.Signal) string {
	name := "SIGTERM"
	if by == syscall.SIGKILL {
		name = "SIGKILL"
	}
	return fmt.Sprintf("ended %s by %s", where, name)
}

// missedEnds names the required ways to end the daemon that did not occur.
func (s *stage) missedEnds() (all []string) {
	for _, where := range []string{inTheJitter, inMidSweep} {
		for _, signal := range nightSignals {
			if name := nightEnd(where, signal); s.options.nights > 0 && s.tally.of("nights", name) == 0 {
				all = append(all, name)
			}
		}
	}
	return all
}

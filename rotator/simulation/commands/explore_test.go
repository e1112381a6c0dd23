package commands_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// scenario is the input of an exploration.
type scenario struct {
	name     string
	world    func(*world) // its records and users
	commands []command
	faults   int // calls with a fate other than ok
	stale    int // reads that are one version behind
	newKey   bool
	operator func(*world)                         // one act between any two steps; nil: none
	bug      func(command string, s *sweep.Sweep) // shows that the checks notice it

	after []command             // undisturbed, one after another, after all commands have ended and claims have expired
	rest  func(*world)          // the checks afterwards; nil: mustBeWhole of all tenants
	only  func(call, fate) bool // narrows the fates; nil takes all
}

// command is the task of one process.
type command struct {
	name string
	do   func(context.Context, *process) (said string, err error)
}

// action is one step of a schedule.
type action struct {
	who  int8 // the process; the constants below are for others
	fate fate
}

const (
	timePasses  int8 = -1
	operatorAct int8 = -2
)

type result struct {
	states, steps, ends int
	diverged            int // schedules that could not be replayed, since a command acted differently
	broken, schedule    string
}

type node struct {
	parent  int32
	by      action
	actions []action
}

// explore follows every schedule of the scenario, up to the first violation.
func explore(t *testing.T, s scenario) (r result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		seed := maphash.MakeSeed()
		known := map[uint64]bool{}
		var nodes []node
		visit := func(w *world, parent int32, by action) {
			state := w.state()
			if known[state] {
				return
			}
			known[state] = true
			nodes = append(nodes, node{parent: parent, by: by, actions: w.enabled()})
			if len(nodes[len(nodes)-1].actions) == 0 {
				r.ends++
				w.finish()
			}
		}
		way := func(i int32) (path []action) {
			for ; nodes[i].parent >= 0; i = nodes[i].parent {
				path = append([]action{nodes[i].by}, path...)
			}
			return path
		}
		w := newWorld(&s, seed)
		visit(w, -1, action{})
		w.close()
		for i := int32(0); int(i) < len(nodes) && r.broken == ""; i++ {
			for _, a := range nodes[i].actions {
				w := newWorld(&s, seed)
				for _, step := range way(i) {
					w.do(step)
				}
				w.do(a)
				r.steps++
				if w.diverged {
					r.diverged++
				} else if w.wrong == "" {
					visit(w, i, a)
				}
				w.close()
				if w.wrong != "" {
					r.broken, r.schedule = w.wrong, w.told.String()
					break
				}
			}
		}
		r.states = len(nodes)
	})
	return r
}

func newWorld(s *scenario, seed maphash.Seed) *world {
	w := &world{
		scenario: s, seed: seed, now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
		records: map[rotator.TenantID]*record{}, users: map[string]string{}, faults: s.faults, stale: s.stale, asks: -1,
		whole: map[rotator.TenantID]bool{}, set: map[string]bool{}, shown: map[string]bool{}, names: map[string]string{}, sealed: map[string]string{},
	}
	s.world(w)
	w.asks = 0
	w.check()
	for _, c := range s.commands {
		w.start(c)
	}
	synctest.Wait()
	return w
}

// start starts a command, which waits until the scheduler lets it run.
func (w *world) start(c command) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{command: c, world: w, cancel: cancel}
	policy, _ := rotator.ParsePolicy("180_days")
	p.sweep = &sweep.Sweep{
		Store: store{p}, Keys: store{p}, Mailu: servers{p}, Time: store{p}, Clock: clock{p}, NewPassword: w.newPassword,
		DefaultPolicy: policy, Owner: c.name, Workers: 8, Cores: 2, ClaimTTL: claimTTL, Grace: time.Second,
		Envelope: func(keys *crypto.Keyring) rotator.Envelope {
			return &envelope{world: w, by: c.name, newest: keys.Newest().Version, seals: map[string]int{}}
		},
	}
	if w.scenario.bug != nil {
		w.scenario.bug(c.name, p.sweep)
	}
	w.commands = append(w.commands, p)
	go func() {
		var said string
		if p.ask(request{call: begin}).err == nil {
			var err error
			said, err = c.do(ctx, p)
			if err != nil {
				said = "error: " + err.Error()
			}
		}
		w.mu.Lock()
		p.ended, p.said = true, said
		w.mu.Unlock()
	}()
	return p
}

// do takes one step, and checks the world after it.
func (w *world) do(a action) {
	var what string
	switch a.who {
	case timePasses:
		what = "time passes"
		w.now = w.now.Add(claimTTL/2 + time.Second)
		for _, p := range w.commands {
			w.mu.Lock()
			held := append([]*request{}, p.held...)
			w.mu.Unlock()
			for _, r := range held {
				p.release(r, answer{})
			}
		}
	case operatorAct:
		what = "the operator acts"
		w.acted++
		w.scenario.operator(w)
	default:
		p := w.commands[a.who]
		r := p.next()
		if r == nil {
			w.diverged = true
			return
		}
		what = p.title(r, a.fate)
		w.grant(p, r, a.fate)
	}
	synctest.Wait()
	w.check()
	fmt.Fprintf(&w.told, "%-62s %s\n", what, w.describe())
}

func (w *world) grant(p *process, r *request, f fate) {
	switch f {
	case ok:
	case stale:
		w.stale--
	default:
		w.faults--
	}
	if f == diesBefore {
		w.kill(p)
		return
	}
	var a answer
	if f != lostBefore && f != refused {
		a = w.effect(p, r, f)
	}
	if f == diesAfter {
		w.kill(p)
		return
	}
	if err := refusal(f); err != nil {
		a = answer{err: err}
	}
	p.digest = mix(p.digest, uint64(r.call)<<32|uint64(a.version)<<8|uint64(a.proof), a.digest, uint64(a.doc.Version), maphash.String(w.seed, fmt.Sprint(a.names, a.err, r.tenant, r.user)))
	p.release(r, a)
}

// kill lets the rest of a process run without any effect.
func (w *world) kill(p *process) {
	w.mu.Lock()
	p.dead = true
	held := p.held
	p.held = nil
	w.mu.Unlock()
	p.cancel()
	for _, r := range held {
		r.answer <- answer{err: errDead}
	}
}

// close ends all running processes.
func (w *world) close() {
	for _, p := range w.commands {
		w.kill(p)
	}
	synctest.Wait()
}

// enabled lists the possible next steps.
func (w *world) enabled() (actions []action) {
	waiting := false
	for i, p := range w.commands {
		w.mu.Lock()
		waiting = waiting || len(p.held) > 0
		w.mu.Unlock()
		r := p.next()
		if r == nil {
			continue
		}
		actions = append(actions, action{who: int8(i)})
		if r.call == read && w.stale > 0 {
			actions = append(actions, action{who: int8(i), fate: stale})
		}
		if w.faults > 0 {
			for _, f := range fatesOf(r.call) {
				if w.scenario.only == nil || w.scenario.only(r.call, f) {
					actions = append(actions, action{who: int8(i), fate: f})
				}
			}
		}
	}
	if len(actions) == 0 && waiting {
		actions = append(actions, action{who: timePasses})
	}
	if w.scenario.operator != nil && w.acted == 0 {
		actions = append(actions, action{who: operatorAct})
	}
	return actions
}

// finish runs the commands that follow at rest, and checks the result.
func (w *world) finish() {
	w.faults, w.stale = 0, 0
	for _, c := range w.scenario.after {
		w.now = w.now.Add(claimTTL + time.Second)
		p := w.start(c)
		synctest.Wait()
		for !p.over() {
			a := action{who: timePasses}
			if p.next() != nil {
				a.who = int8(len(w.commands) - 1)
			}
			w.do(a)
		}
		fmt.Fprintf(&w.told, "%s ended: %s\n", p.name, p.said)
	}
	if w.wrong != "" {
		return
	}
	if w.scenario.rest != nil {
		w.scenario.rest(w)
		return
	}
	w.mustBeWhole(w.tenantIDs()...)
}

func (p *process) over() bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.ended
}

// mustBeWhole fails unless Mailu accepts the tenants' current passwords, and
// nothing is pending.
func (w *world) mustBeWhole(tenants ...rotator.TenantID) {
	for _, t := range tenants {
		fields := w.fields(t)
		if held := w.holds(t, fields); len(held) != 1 || held[0] != w.users[userOf(fields)] {
			w.violate("not at rest: tenant %s, %s", t[:1], w.describe())
		}
	}
}

// state is a hash of everything that can matter from here on.
func (w *world) state() uint64 {
	h := mix(uint64(w.now.UnixMilli()), uint64(w.faults)<<32|uint64(w.stale)<<16|uint64(w.acted), uint64(w.asks))
	for _, t := range w.tenantIDs() {
		r := w.records[t]
		h = mix(h, maphash.String(w.seed, string(t)), uint64(r.since+1))
		for _, v := range r.versions {
			h = mix(h, v.digest)
			if v.deleted {
				h = mix(h, 1)
			}
		}
		if w.whole[t] {
			h = mix(h, 2)
		}
	}
	var sum uint64
	for user, password := range w.users {
		sum += mix(maphash.String(w.seed, user), maphash.String(w.seed, w.name(password)))
	}
	for user := range w.set {
		sum += mix(4, maphash.String(w.seed, user))
	}
	for shown := range w.shown {
		user, password, _ := strings.Cut(shown, " ")
		sum += mix(3, maphash.String(w.seed, user), maphash.String(w.seed, w.name(password)))
	}
	h = mix(h, sum)
	for _, p := range w.commands {
		w.mu.Lock()
		h = mix(h, p.digest, uint64(p.looked))
		if p.dead || p.ended {
			h = mix(h, 5)
		}
		w.mu.Unlock()
	}
	return h
}

// mix folds numbers into a (the finaliser of splitmix64).
func mix(a uint64, more ...uint64) uint64 {
	for _, b := range more {
		x := a*0x9e3779b97f4a7c15 + b + 0x632be59bd9b4e019
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		a = x ^ x>>31
	}
	return a
}

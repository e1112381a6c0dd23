package simulation

import "time"

// kind is the kind of the scheduler's next step.
type kind uint8

const (
	grant   kind = iota // a process's call has its fate
	deliver             // a late answer arrives, after its claim has expired
	land                // a late effect happens
	stall               // time passes beyond every claim
	operate             // the operator's next act
)

// action is one step of a schedule: three bytes, since millions are stored.
type action struct {
	kind kind
	who  uint8
	fate Fate
}

// do takes one step, and checks the world after it.
func (w *world) do(a action) {
	if w.tell != nil {
		what := w.name(a)
		defer func() { w.tell(what) }()
	}
	switch a.kind {
	case grant:
		w.grant(int(a.who), a.fate)
	case deliver:
		w.turnTo(int(a.who))
		w.now = w.now.Add(ClaimTTL)
		w.procs[a.who].resume()
	case land:
		e := w.late[a.who]
		w.late = append(append([]effect{}, w.late[:a.who]...), w.late[a.who+1:]...)
		landed := w.effect(e.by, e.request).err == nil
		w.mailu.stray = w.mailu.stray || e.request.call.pushes() && landed
	case stall:
		if w.stalls > 0 {
			w.stalls--
		} else {
			w.faults--
		}
		w.now = w.now.Add(ClaimTTL)
	case operate:
		w.operate(w.scenario.Operator[w.acted])
		w.acted++
	}
	w.check()
}

// grant applies a fate to a process's call. A living process runs to its next call in
// the same step: it can see and do nothing in between.
func (w *world) grant(who int, fate Fate) {
	w.turnTo(who)
	p := w.procs[who]
	if p.status == asleep {
		p.begin()
	}
	if fate >= FirstPause {
		w.now = w.now.Add(w.scenario.Pauses[fate-FirstPause])
		p.answer = answer{}
		p.resume()
		return
	}
	if fate != OK {
		w.faults--
	}
	p.disturbed = fate != OK || p.disturbed && !p.request.call.pushes()
	p.answer = answer{}
	if fate.has() {
		p.answer = w.effect(p.Name, p.request)
	}
	if fate.later() {
		w.late = append(w.late, effect{by: p.Name, request: p.request})
	}
	if err := refusal(p.request.call, fate); err != nil {
		p.answer = answer{err: err}
	}
	switch {
	case fate.deadly():
		p.die()
	case fate == LateAnswer:
		p.status = answered
	default:
		p.resume()
	}
}

// enabled lists the possible next steps, always in the same order. None means that the
// world is at rest.
func (w *world) enabled(actions []action) []action {
	busy := false
	for i, p := range w.procs {
		busy = busy || p.status < ended
		if !w.mayTurnTo(i) {
			continue
		}
		switch p.status {
		case asleep:
			if w.mayBegin(p) {
				actions = w.fates(actions, i, p.first())
			}
		case calling:
			actions = w.fates(actions, i, p.request.call)
		case answered:
			actions = append(actions, action{kind: deliver, who: uint8(i)})
		}
	}
	for i := range w.late {
		actions = append(actions, action{kind: land, who: uint8(i)})
	}
	if busy && w.faults+w.stalls > 0 {
		actions = append(actions, action{kind: stall})
	}
	if w.acted < len(w.scenario.Operator) {
		actions = append(actions, action{kind: operate})
	}
	return actions
}

func (w *world) fates(actions []action, who int, c Call) []action {
	if c == Pause {
		for i := range w.scenario.Pauses {
			actions = append(actions, action{kind: grant, who: uint8(who), fate: FirstPause + Fate(i)})
		}
		return actions
	}
	actions = append(actions, action{kind: grant, who: uint8(who)})
	if w.faults == 0 {
		return actions
	}
	for _, f := range fates(c) {
		if w.scenario.allows(c, f) {
			actions = append(actions, action{kind: grant, who: uint8(who), fate: f})
		}
	}
	return actions
}

func (w *world) mayBegin(p *process) bool {
	if p.After == "" {
		return true
	}
	other := w.process(p.After)
	return other.over || other.status >= ended
}

// mayTurnTo applies the limit on preemptions.
func (w *world) mayTurnTo(who int) bool {
	return w.scenario.Preemptions == 0 || w.preemptions > 0 || !w.preempts(who)
}

func (w *world) turnTo(who int) {
	if w.scenario.Preemptions > 0 && w.preempts(who) {
		w.preemptions--
	}
	w.running = who
}

// preempts reports whether a step of who suspends another process in the middle of its
// attempt.
func (w *world) preempts(who int) bool {
	return w.running >= 0 && w.running != who && w.procs[w.running].midway()
}

// rest is one undisturbed run after all claims have expired.
func (w *world) rest(spec Process) *process {
	w.now = w.now.Add(ClaimTTL + time.Second)
	p := w.newProcess(spec)
	w.procs = append(w.procs, p)
	w.running = -1
	for p.status < ended {
		w.do(action{kind: grant, who: uint8(len(w.procs) - 1)})
	}
	return p
}

package simulation

import (
	"context"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// status is the state of a process, as the scheduler sees it.
type status uint8

const (
	asleep   status = iota // not started
	calling                // in a call that has had no effect yet
	answered               // its call had its effect, and the answer is in transit
	ended
	dead
)

// process runs the program's code in a coroutine, held at each outside call.
type process struct {
	Process
	world   *world
	rotator rotator.Rotator

	status    status
	request   request
	answer    answer
	result    rotator.Result // of the last attempt
	over      bool           // the first attempt has ended
	disturbed bool           // a call since its last push had a fate other than OK
	made      int            // passwords
	digest    uint64         // of all answers in this attempt, which determine its state
	pending   bool           // whether the last record that it read had a pending password

	stage *stage // nil before it starts
}

func (w *world) newProcess(spec Process) *process {
	p := &process{Process: spec, world: w}
	p.rotator = rotator.Rotator{
		Store: store{p}, Mailu: servers{p}, Keys: w.scenario.envelope(spec.Name), Clock: clock{p},
		NewPassword: p.newPassword, DefaultPolicy: w.policy, Owner: spec.Name, ClaimTTL: ClaimTTL,
	}
	if w.scenario.Bug != nil {
		w.scenario.Bug(&p.rotator)
	}
	return p
}

// first is the first call of a process.
func (p *process) first() Call {
	if p.After != "" && len(p.world.scenario.Pauses) > 0 {
		return Pause
	}
	return Read
}

// begin runs the process up to its first call.
func (p *process) begin() {
	p.stage = p.world.stages.take()
	p.stage.run(func() {
		p.live()
		p.status = ended
	})
}

// live runs a process: it does what rotator's queue and act.go do with one tenant,
// except for the length of the pauses.
func (p *process) live() {
	if p.first() == Pause {
		p.ask(request{call: Pause})
	}
	sel := sweep.Selection{NewestKey: p.world.scenario.newestKey()}
	if p.RunNow {
		sel.All, sel.RotatedBefore = true, p.rotator.Clock.Now()
	}
	for attempt := range p.Attempts {
		if attempt > 0 && len(p.world.scenario.Pauses) > 0 {
			p.ask(request{call: Pause})
		}
		p.digest = mix(uint64(attempt)<<32|uint64(p.made), uint64(sel.RotatedBefore.UnixMilli())) // all that it keeps between attempts
		p.result = p.attempt(sel)
		p.over = true
		if !again(p.result) {
			return
		}
	}
}

// attempt reads, decides and rotates.
func (p *process) attempt(sel sweep.Selection) rotator.Result {
	if p.Adds {
		return p.add()
	}
	doc, err := p.rotator.Store.Read(context.Background(), tenant)
	if err != nil {
		return rotator.Result{Outcome: rotator.Failed, Err: err}
	}
	c, err := rotator.ParseCredential(tenant, doc, p.rotator.DefaultPolicy)
	if err != nil {
		p.world.violate("the record cannot be read any more: %v", err)
		return rotator.Result{Outcome: rotator.Invalid, Err: err}
	}
	if p.Reseals {
		return p.rotator.Reseal(context.Background(), c, sel.NewestKey)
	}
	judge := func(c rotator.Credential) (rotator.Action, string) {
		d := sweep.Plan(p.rotator.Clock.Now(), []rotator.Candidate{{Name: tenant, Credential: c}}, sel)[0]
		return d.Action, d.Reason
	}
	if action, _ := judge(c); action == rotator.Leave {
		return rotator.Result{Credential: c, Outcome: rotator.Fresh}
	}
	return p.rotator.Rotate(context.Background(), c, judge, false)
}

func (p *process) add() rotator.Result {
	c, err := rotator.ParseCredential(tenant, rotator.Document{Fields: blankRecord()}, p.rotator.DefaultPolicy)
	if err != nil {
		panic(err) // a record of this package
	}
	return p.rotator.Add(context.Background(), registry{p}, c)
}

// again reports whether a real sweep might retry. It returns true more often than the
// real one, which skips a tenant after some errors.
func again(r rotator.Result) bool {
	switch r.Outcome {
	case rotator.Rotated, rotator.Finished, rotator.Fresh, rotator.Refused, rotator.Stuck, rotator.Added, rotator.Resealed:
		return false
	}
	return true
}

func (p *process) newPassword() (crypto.Secret, error) {
	if p.pending {
		p.world.violate("%s makes a password although it has seen a pending one", p.Name)
	}
	p.made++
	return crypto.SecretFromString(passwordName(p.Name, p.made)), nil
}

// ask holds the process in a call until the scheduler has an answer. A dead process
// unwinds from here.
func (p *process) ask(r request) answer {
	p.request, p.status = r, calling
	if r.call.pushes() {
		p.request.live = p.world.beginsPush(p, r.password)
	}
	p.stage.hold()
	p.learn(r.call)
	return p.answer
}

// resume lets the process run with its answer up to the next call.
func (p *process) resume() { p.stage.resume() }

func (p *process) die() {
	p.stage.clear()
	p.status = dead
}

// midway reports whether the process could continue its attempt.
func (p *process) midway() bool { return p.status == calling && p.request.call != Pause }

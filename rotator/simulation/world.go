package simulation

import (
	"encoding/json"
	"hash/maphash"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const (
	tenant = "550e8400-e29b-41d4-a716-446655440000"
	born   = "2026-01-01T00:00:00.000Z"
	first  = "the first"
)

// world is the whole state: one record, one user, some processes, and an operator.
type world struct {
	scenario *Scenario
	policy   rotator.Policy
	seed     maphash.Seed
	now      time.Time

	vault vault
	mailu mailbox
	procs []*process
	late  []effect // in transit; they take effect at a later step

	faults, stalls, preemptions int // remaining
	acted                       int // number of operator's acts so far
	running                     int // the process of the last step; -1: none yet

	ledger    ledger
	before    string               // what Mailu held before there was a record; "" without a user
	opened    map[[3]string]string // content of sealed passwords, by their last_rotated and key_version
	violation string
	tell      func(step string) // for people; nil: no output
	stages    *stages
}

// mailbox is one user of a Mailu server, which holds one password.
type mailbox struct {
	password string // "": the user does not exist
	late     bool   // it was set by a push after its claim had expired
	stray    bool   // and whose process had given up
	own      bool   // an operator set it by hand
	by       string // who pushed that
}

// effect is the effect of a call that its process no longer waits for.
type effect struct {
	by      string
	request request
}

func newWorld(s *Scenario, seed maphash.Seed, stages *stages) *world {
	policy, err := rotator.ParsePolicy("180_days")
	if err != nil {
		panic(err) // a constant of this package
	}
	w := &world{
		scenario: s, policy: policy, seed: seed, now: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
		mailu:  mailbox{password: s.firstPassword()},
		faults: s.Faults, stalls: s.Stalls, preemptions: s.Preemptions, running: -1,
		stages: stages, opened: map[[3]string]string{},
	}
	if s.Vacant {
		w.before = w.mailu.password
	} else {
		w.put("the beginning", w.firstRecord())
	}
	for _, spec := range s.Processes {
		w.procs = append(w.procs, w.newProcess(spec))
	}
	return w
}

func (s *Scenario) firstPassword() string {
	if s.NoUser {
		return ""
	}
	return first
}

// blankRecord is the input of an addition.
func blankRecord() map[string]any {
	return map[string]any{
		"username": "admin@a.example", "webmail_url": "https://mail.a.example/webmail",
		"created_at": born, "note": "not ours",
	}
}

func (w *world) firstRecord() map[string]any {
	fields := blankRecord()
	w.sealWith(&envelope{by: "first", newest: firstKey}, fields, born, first)
	if w.scenario.Envelope != nil {
		w.seal(fields, "first", born, first)
	}
	return fields
}

// seal stores a password in fields as current.
func (w *world) seal(fields map[string]any, by, lastRotated, password string) {
	w.sealWith(w.scenario.envelope(by), fields, lastRotated, password)
}

func (w *world) sealWith(envelope rotator.Envelope, fields map[string]any, lastRotated, password string) {
	binding := crypto.Binding{TenantID: tenant, LastRotated: lastRotated}
	sealed, key, err := envelope.Seal(binding, crypto.SecretFromString(password))
	if err != nil {
		panic(err) // a failing envelope is a bug of the harness
	}
	fields["password"], fields["last_rotated"] = string(sealed), lastRotated
	fields["key_version"] = json.Number(string('0' + rune(key)))
}

// put appends a version of the record. A version takes a millisecond, so that
// timestamps differ where the protocol can notice, and nowhere else: schedules without
// an observable difference then reach the same state.
func (w *world) put(by string, fields map[string]any) int {
	number := w.vault.put(w.seed, fields)
	w.vault.digest = mix(w.vault.digest, w.digest(by))
	w.now = w.now.Add(time.Millisecond)
	return number
}

func (w *world) process(name string) *process {
	for _, p := range w.procs {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// close ends the processes that are still held in a call.
func (w *world) close() {
	for _, p := range w.procs {
		if p.stage != nil {
			p.stage.clear()
			w.stages.give(p.stage)
		}
	}
}

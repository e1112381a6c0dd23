package simulation

import (
	"hash/maphash"
	"maps"
	"slices"
)

// state is a hash of everything that can matter from here on, so that two schedules
// that meet are followed once. A process's knowledge is represented by a hash of all
// answers in its attempt: its code is deterministic, and it draws only its log id at
// random.
//
// Sixty-four bits: among ten million states two different ones collide with a
// probability of one in 400,000.
func (w *world) state() uint64 {
	h := mix(w.vault.digest, uint64(w.now.UnixMilli()))
	if !w.vault.gone && !w.vault.vacant() {
		h = mix(h, bit(w.vault.versions[len(w.vault.versions)-1].deleted))
	}
	h = mix(h, bit(w.vault.gone)<<3|bit(w.mailu.own)<<2|bit(w.mailu.stray)<<1|bit(w.mailu.late))
	h = mix(h, w.digest(w.mailu.password))
	h = mix(h, w.digest(w.mailu.by))
	for _, p := range w.procs {
		h = mix(h, uint64(p.status)<<2|bit(p.disturbed)<<1|bit(p.over))
		if p.status < ended {
			h = mix(h, p.digest+bit(p.request.live))
		} else {
			h = mix(h, bit(p.result.Err == nil))
		}
	}
	h = mix(h, w.lateState())
	h = mix(h, uint64(w.faults)<<32|uint64(w.stalls)<<24|uint64(w.preemptions)<<16|uint64(w.acted)<<8)
	if w.scenario.Preemptions > 0 {
		h = mix(h, uint64(w.running+1))
	}
	return mix(h, w.ledger.state(w))
}

// lateState does not depend on the order in which the effects were sent.
func (w *world) lateState() (sum uint64) {
	for _, e := range w.late {
		h := mix(w.digest(e.by), uint64(e.request.call)<<1|bit(e.request.live))
		if e.request.call == Write {
			sum += mix(h, mix(uint64(e.request.doc.Version), digestOf(w.seed, e.request.doc.Fields)))
		} else {
			sum += mix(h, w.digest(e.request.password))
		}
	}
	return sum
}

func (l *ledger) state(w *world) uint64 {
	h := mix(uint64(l.excused), uint64(l.undone)<<16|uint64(l.abandoned)<<8|uint64(len(l.prepared)))
	for _, password := range slices.Sorted(maps.Keys(l.dropped)) {
		h = mix(h, w.digest(password))
	}
	return h
}

func (w *world) digest(s string) uint64 { return maphash.String(w.seed, s) }

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

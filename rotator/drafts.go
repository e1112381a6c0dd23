package rotator

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"mailu-rotator/crypto"
)

// draft is a new password, sealed for its tenant, of which nobody knows yet.
type draft struct {
	password    crypto.Secret
	lastRotated string
	sealed      crypto.SealedPassword
	keyVersion  crypto.KeyVersion
}

// newDraft costs a key derivation.
func newDraft(keys Envelope, newPassword func() (crypto.Secret, error), clock Clock, tenant TenantID) (draft, error) {
	password, err := newPassword()
	if err != nil {
		return draft{}, err
	}
	d := draft{password: password, lastRotated: formatTime(clock.Now())}
	d.sealed, d.keyVersion, err = keys.Seal(crypto.Binding{TenantID: string(tenant), LastRotated: d.lastRotated}, password)
	if err != nil {
		password.Wipe()
		return draft{}, err
	}
	return d, nil
}

// drafts are made while the survey reads: for the tenants that are by then the
// oldest of their server, twice as many as it may be sent requests. So canaries, and who
// comes after them, are ready when the survey ends. Until then nothing is sent or
// written for them: an older tenant or a rival may still show up. Who has a draft
// keeps it until its turn comes in the plan's order, or the run ends.
type drafts struct {
	*run
	making sync.WaitGroup

	mu     sync.Mutex             // guards what follows
	idle   int                    // how many more may be made at a time
	oldest map[Origin][]Candidate // by then, oldest first
	made   map[TenantID]draft     // the zero draft: being made, or it failed
	ended  bool
}

// drafting lets drafts be made for those whom keep keeps and who are to be rotated,
// on all cores but one. A run with a limit is for few of them, and has none.
func (r *run) drafting(keep func(Candidate) bool) func(Candidate) bool {
	d := &drafts{run: r, idle: max(runtime.GOMAXPROCS(0)-1, 1), oldest: map[Origin][]Candidate{}, made: map[TenantID]draft{}}
	r.rotator.drafts = d
	if r.sel.Limit > 0 {
		return keep
	}
	return func(c Candidate) bool {
		if !keep(c) {
			return false
		}
		if r.sel.covers(c) && decide(r.clock.Now(), c, r.sel, 1).Action == Rotate {
			d.offer(c)
		}
		return true
	}
}

// offer tells of a tenant that is to be rotated, as far as its record says.
func (d *drafts) offer(c Candidate) {
	server, err := d.Mailu.Server(c.Credential.Origin)
	if err != nil {
		return // the plan has no such job
	}
	width, now := 2*server.MaxConcurrent(), d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	line := d.oldest[c.Credential.Origin]
	at, _ := slices.BinarySearchFunc(line, c, func(a, b Candidate) int { return oldestFirst(now, a, b) })
	if d.ended {
		return
	}
	line = slices.Insert(line, at, c)
	d.oldest[c.Credential.Origin] = line[:min(len(line), width)]
	if d.idle > 0 {
		d.idle--
		d.making.Go(d.work)
	}
}

// work makes drafts until nobody wants one.
func (d *drafts) work() {
	for tenant, ok := d.next(); ok; tenant, ok = d.next() {
		_ = d.host.cores.take(context.Background(), unbegun) // fails with its context only
		made, err := newDraft(d.envelope(d.keys), d.NewPassword, d.clock, tenant)
		d.host.cores.release()
		if err != nil {
			continue // prepare meets the same error, and tells
		}
		d.mu.Lock()
		d.made[tenant] = made
		d.mu.Unlock()
	}
}

// next is whose draft is made next: a canary's before those that come after it.
func (d *drafts) next() (next TenantID, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := -1
	for _, line := range d.oldest {
		at := slices.IndexFunc(line, func(c Candidate) bool { _, made := d.made[c.Credential.Tenant]; return !made })
		if at >= 0 && (before < 0 || at < before) {
			next, before = line[at].Credential.Tenant, at
		}
	}
	if before < 0 || d.ended {
		d.idle++
		return "", false
	}
	d.made[next] = draft{}
	return next, true
}

// end makes no more of them, and waits for those that are being made.
func (d *drafts) end() {
	d.mu.Lock()
	d.ended, d.oldest = true, nil
	d.mu.Unlock()
	d.making.Wait()
}

// take hands over a tenant's draft, once. Whoever has it wipes it. Nil drafts, as
// outside of a sweep, have none.
func (d *drafts) take(tenant TenantID) (draft, bool) {
	if d == nil {
		return draft{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	made, ok := d.made[tenant]
	delete(d.made, tenant)
	return made, ok && !made.password.Empty()
}

// wipe forgets what nobody took.
func (d *drafts) wipe() {
	d.end()
	for _, made := range d.made {
		made.password.Wipe()
	}
	clear(d.made)
}

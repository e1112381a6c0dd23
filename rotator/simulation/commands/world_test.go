package commands_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const (
	claimTTL = 5 * time.Minute
	born     = "2026-01-01T00:00:00.000Z"
	apiHost  = "mail.example"
)

// world holds the records, the users and the commands. Its fields change only while all
// commands are held.
type world struct {
	scenario *scenario
	seed     maphash.Seed
	now      time.Time
	records  map[rotator.TenantID]*record
	users    map[string]string // login passwords, by address as Mailu stores it
	commands []*process
	faults   int // remaining
	stale    int // remaining stale reads
	acted    int // number of operator's acts so far

	whole map[rotator.TenantID]bool // tenants whose password Mailu accepted once
	set   map[string]bool           // users whose password a command has set
	shown map[string]bool           // passwords that Mailu has shown to hold, by user
	asks  int                       // list requests so far
	told  strings.Builder           // the schedule, for people
	wrong string                    // the first violation

	diverged bool // a step of the schedule could not be taken

	mu     sync.Mutex        // guards the fields below, and all processes' held calls
	made   int               // passwords
	names  map[string]string // of passwords, independent of the order in which they were made
	sealed map[string]string // maps sealed passwords to their content
}

// record is one tenant's record in Vault.
type record struct {
	versions []version
	since    int // the last list requested before it was created; -1: it existed at the start
}

type version struct {
	fields  map[string]any
	deleted bool
	digest  uint64
}

func (r *record) newest() *version { return &r.versions[len(r.versions)-1] }

// fields returns nil if there is no record, or its newest version is deleted.
func (w *world) fields(t rotator.TenantID) map[string]any {
	r := w.records[t]
	if r == nil || r.newest().deleted {
		return nil
	}
	return r.newest().fields
}

// tenantIDs returns the sorted ids.
func (w *world) tenantIDs() []rotator.TenantID { return slices.Sorted(maps.Keys(w.records)) }

// userOf is the user of a record, as Mailu stores it.
func userOf(fields map[string]any) string { return strings.ToLower(text(fields, "username")) }

func text(fields map[string]any, name string) string {
	s, _ := fields[name].(string)
	return s
}

// put appends a version. A version takes a millisecond, so that timestamps differ
// wherever commands can notice.
func (w *world) put(t rotator.TenantID, fields map[string]any) int {
	r := w.records[t]
	if r == nil {
		r = &record{since: w.asks}
		w.records[t] = r
	}
	r.versions = append(r.versions, version{fields: fields, digest: w.digestOf(fields)})
	w.now = w.now.Add(time.Millisecond)
	return len(r.versions)
}

func (w *world) digestOf(fields map[string]any) uint64 {
	text, err := json.Marshal(fields) // with sorted keys
	if err != nil {
		panic(err) // records contain only JSON values
	}
	return maphash.Bytes(w.seed, text)
}

// newPassword returns a unique password.
func (w *world) newPassword() (crypto.Secret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	return crypto.SecretFromString(fmt.Sprintf("Password-%012d", w.made)), nil
}

// name returns a password's name for people and in states.
func (w *world) name(password string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name, found := w.names[password]; found {
		return name
	}
	return password
}

// envelope seals without cryptography, like that of package simulation. It names a
// password when it is first sealed, since only then its tenant is known.
type envelope struct {
	world  *world
	by     string
	newest crypto.KeyVersion
	seals  map[string]int // by tenant
}

func (e *envelope) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.seals[to.TenantID]++
	serial := fmt.Sprintf("%s's %d of %s", e.by, e.seals[to.TenantID], to.TenantID[:1])
	raw := password.RevealString()
	if e.world.names[raw] == "" {
		e.world.names[raw] = serial
	}
	sealed := sealPrefix(e.newest, to) + serial + "|" + e.world.names[raw]
	e.world.sealed[sealed] = raw
	return crypto.SealedPassword(sealed), e.newest, nil
}

var errNotSealedSo = errors.New("not sealed so")

func (e *envelope) Open(version crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	for key := crypto.KeyVersion(1); key <= e.newest; key++ {
		if strings.HasPrefix(string(sealed), sealPrefix(key, from)) && (version == key || version == 0) {
			e.world.mu.Lock()
			defer e.world.mu.Unlock()
			return crypto.SecretFromString(e.world.sealed[string(sealed)]), nil
		}
	}
	return crypto.Secret{}, errNotSealedSo
}

func sealPrefix(key crypto.KeyVersion, b crypto.Binding) string {
	return fmt.Sprintf("sealed|%d|%s|%s|", key, b.TenantID, b.LastRotated)
}

// holds returns the passwords of a record: current, then pending; "" for one that does
// not open.
func (w *world) holds(t rotator.TenantID, fields map[string]any) (passwords []string) {
	if fields["password"] != nil {
		passwords = append(passwords, w.open(t, fields))
	}
	if pending, found := fields["pending"].(map[string]any); found {
		passwords = append(passwords, w.open(t, pending))
	}
	return passwords
}

func (w *world) open(t rotator.TenantID, fields map[string]any) string {
	var key int
	_, _ = fmt.Sscan(fmt.Sprint(fields["key_version"]), &key)
	e := envelope{world: w, newest: 2}
	password, err := e.Open(crypto.KeyVersion(key), crypto.Binding{TenantID: string(t), LastRotated: text(fields, "last_rotated")}, crypto.SealedPassword(text(fields, "password")))
	if err != nil {
		return ""
	}
	return password.RevealString()
}

// seal returns the fields of a current password, as after a rotation that ended long
// ago.
func (w *world) seal(t rotator.TenantID, fields map[string]any, lastRotated, password string, key crypto.KeyVersion) map[string]any {
	fields = maps.Clone(fields)
	if fields == nil {
		fields = map[string]any{}
	}
	w.names[password] = password
	e := envelope{world: w, by: "before " + lastRotated, newest: key, seals: map[string]int{}}
	sealed, _, _ := e.Seal(crypto.Binding{TenantID: string(t), LastRotated: lastRotated}, crypto.SecretFromString(password))
	fields["password"], fields["last_rotated"], fields["key_version"] = string(sealed), lastRotated, json.Number(fmt.Sprint(int(key)))
	return fields
}

// violate records the first violation of a schedule.
func (w *world) violate(format string, args ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

// check tests the invariant after every step.
func (w *world) check() {
	for _, t := range w.tenantIDs() {
		fields := w.fields(t)
		if fields == nil || fields["password"] == nil {
			continue
		}
		accepted := slices.Contains(w.holds(t, fields), w.users[userOf(fields)])
		switch {
		case accepted:
			w.whole[t] = true
		case w.whole[t]:
			w.violate("tenant %s is locked out: Mailu accepts %q", t[:1], w.name(w.users[userOf(fields)]))
		}
	}
	for user := range w.set {
		holds := func(t rotator.TenantID) bool {
			fields := w.fields(t)
			return fields != nil && userOf(fields) == user && slices.Contains(w.holds(t, fields), w.users[user])
		}
		if !slices.ContainsFunc(w.tenantIDs(), holds) {
			w.violate("no record has the password that Mailu accepts, %q", w.name(w.users[user]))
		}
	}
}

// isOpen reports whether a record belongs to an addition for which nothing was pushed
// yet.
func isOpen(fields map[string]any) bool {
	pending, found := fields["pending"].(map[string]any)
	return found && fields["password"] == nil && pending["admitted"] != true
}

// checkWrite checks a write as it takes effect.
func (w *world) checkWrite(by *process, t rotator.TenantID, former, fields map[string]any) {
	if former == nil {
		return
	}
	if fields["withdrawn"] != nil {
		if !isOpen(former) {
			w.violate("%s withdraws %s, which may have been pushed", by.name, t[:1])
		}
		if former["note"] != fields["note"] {
			w.violate("%s changes the field note of others", by.name)
		}
		return
	}
	for _, name := range []string{"note", "created_at", "username", "webmail_url"} {
		if former[name] != fields[name] {
			w.violate("%s changes the field %s of others", by.name, name)
		}
	}
	before, hadPending := former["pending"].(map[string]any)
	after, hasPending := fields["pending"].(map[string]any)
	switch {
	case hadPending && hasPending && before["password"] != after["password"]:
		w.violate("%s writes a second password beside a pending one", by.name)
	case hadPending && hasPending && before["owner"] != after["owner"] && w.stands(before):
		w.violate("%s takes the claim of %s while it stands", by.name, before["owner"])
	case fields["password"] == former["password"] && fields["last_rotated"] == former["last_rotated"]:
		return
	}
	current := w.open(t, fields)
	switch {
	case current == "":
		w.violate("%s makes a password of %s current that does not open", by.name, t[:1])
	case current == w.open(t, former) && fmt.Sprint(fields["key_version"]) < fmt.Sprint(former["key_version"]):
		w.violate("%s puts the same password back under an older key", by.name)
	case current != w.open(t, former) && !w.shown[userOf(fields)+" "+current]:
		w.violate("%s makes %q current, which Mailu was never seen to hold", by.name, w.name(current))
	}
}

func (w *world) stands(pending map[string]any) bool {
	until, err := time.Parse(time.RFC3339, text(pending, "claimed_until"))
	return err == nil && w.now.Before(until)
}

// checkPush checks a push as it begins.
func (w *world) checkPush(p *process, user, password string) {
	var rivals []rotator.TenantID
	claimed := false
	for _, t := range w.tenantIDs() {
		fields := w.fields(t)
		if fields == nil || userOf(fields) != user {
			continue
		}
		if pending, found := fields["pending"].(map[string]any); found && pending["owner"] == p.name && w.stands(pending) && w.open(t, pending) == password {
			claimed = true
		}
		if w.records[t].since < p.looked && !isOpen(fields) {
			rivals = append(rivals, t)
		}
	}
	if !claimed {
		w.violate("%s begins a push without a live claim", p.name)
	}
	if len(rivals) > 1 {
		w.violate("%s pushes for a user that it has seen in two records", p.name)
	}
}

// describe returns the world on one line.
func (w *world) describe() string {
	var parts []string
	for _, user := range slices.Sorted(maps.Keys(w.users)) {
		parts = append(parts, fmt.Sprintf("Mailu %q", w.name(w.users[user])))
	}
	for _, t := range w.tenantIDs() {
		fields, state := w.records[t].newest().fields, ""
		if fields["withdrawn"] != nil {
			state = " withdrawn"
		}
		if isOpen(fields) {
			state += " open"
		}
		if w.records[t].newest().deleted {
			state = " deleted"
		}
		for i, password := range w.holds(t, fields) {
			if i > 0 || fields["password"] == nil {
				state += " + pending"
			}
			state += fmt.Sprintf(" %q", w.name(password))
		}
		parts = append(parts, fmt.Sprintf("%s v%d%s", t[:1], len(w.records[t].versions), state))
	}
	return strings.Join(parts, ", ")
}

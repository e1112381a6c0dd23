package commands_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// call names a request of a command.
type call int

const (
	begin call = iota
	list
	read
	readVersion
	write
	create
	knows
	set
	proof
	canCreate
	createUser
	wait
)

func (c call) String() string {
	return [...]string{"begins", "list", "read", "read version", "write", "create record", "knows", "set password", "proof", "can create user", "create user", "wait"}[c]
}

// request is a call that waits for its answer.
type request struct {
	call     call
	tenant   rotator.TenantID
	version  int
	fields   map[string]any
	user     string
	password string
	answer   chan answer
}

// key orders the calls of one command; the order must be the same in each replay. The
// caller holds the world's mu.
func (r *request) key(w *world) string {
	return fmt.Sprint(r.tenant, " ", r.user, " ", r.call, " ", r.version, " ", w.names[r.password])
}

type answer struct {
	names   []string
	doc     rotator.Document
	digest  uint64
	version int
	proof   rotator.Verification
	err     error
}

// fate is the outcome of a call.
type fate int

const (
	ok fate = iota
	lostBefore
	lostAfter
	refused
	stale
	diesBefore
	diesAfter
)

func (f fate) String() string {
	return [...]string{"ok", "lost before its effect", "answer lost", "refused", "an older version", "dies before it", "dies after its effect"}[f]
}

func fatesOf(c call) []fate {
	switch c {
	case write, create:
		return []fate{lostBefore, lostAfter, diesBefore, diesAfter}
	case set, createUser:
		return []fate{lostBefore, lostAfter, refused, diesBefore, diesAfter}
	case proof:
		return []fate{lostBefore, diesBefore}
	case read, readVersion:
		return []fate{lostBefore}
	}
	return nil
}

var (
	errLost = errors.New("connection reset")
	errDead = errors.New("the process is dead")
)

// process is one running command.
type process struct {
	command
	world  *world
	sweep  *sweep.Sweep
	cancel context.CancelFunc

	held   []*request // guarded by the world's mu
	dead   bool       // also guarded by mu
	ended  bool       // also guarded by mu
	said   string     // its result
	looked int        // when it last read the list
	digest uint64     // of all answers that it received
}

// ask holds the caller until the scheduler has an answer. A dead process continues
// without any effect, to its end.
func (p *process) ask(r request) answer {
	r.answer = make(chan answer, 1)
	p.world.mu.Lock()
	if p.dead {
		p.world.mu.Unlock()
		return answer{err: errDead}
	}
	p.held = append(p.held, &r)
	p.world.mu.Unlock()
	return <-r.answer
}

// Ports connect a process to the world.
type (
	store    struct{ *process }
	servers  struct{ *process }
	server   struct{ *process }
	registry struct{ *process }
	clock    struct{ *process }
)

func (s store) List(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		a := s.ask(request{call: list})
		if a.err != nil {
			yield("", a.err)
			return
		}
		if len(a.names) == 0 {
			yield("", rotator.ErrNoTenants)
			return
		}
		for _, name := range a.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (s store) Read(_ context.Context, t rotator.TenantID) (rotator.Document, error) {
	a := s.ask(request{call: read, tenant: t})
	return a.doc, a.err
}

func (s store) ReadVersion(_ context.Context, t rotator.TenantID, n int) (rotator.Document, error) {
	a := s.ask(request{call: readVersion, tenant: t, version: n})
	return a.doc, a.err
}

func (s store) Write(_ context.Context, t rotator.TenantID, doc rotator.Document) (int, error) {
	a := s.ask(request{call: write, tenant: t, version: doc.Version, fields: copyOf(doc.Fields)})
	return a.version, a.err
}

// MasterKeys and Time always return the same, so they do not wait.
func (s store) MasterKeys(context.Context) (*crypto.Keyring, error) {
	keys := map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)}
	if s.world.scenario.newKey {
		keys[2] = make([]byte, crypto.KeySize)
	}
	return crypto.NewKeyring(keys)
}

func (s store) Time(context.Context) (time.Time, error) { return s.world.now, nil }

func (s servers) Server(rotator.Origin) (rotator.Server, error) { return server(s), nil }

// API is the same for all origins: they are names of one Mailu.
func (s servers) API(rotator.Origin) string { return apiHost }

// Account implements rotator.Server.
func (s server) Account(string) rotator.Account { return rotator.Account{} }

func (s server) MaxConcurrent() int { return 4 }

// PushSlot implements rotator.Server. A process rotates one tenant at a time.
func (server) PushSlot(context.Context) (func(), error) { return func() {}, nil }

// CanLogin implements rotator.Server. There is no mail service.
func (server) CanLogin(string) bool { return false }

// Login implements rotator.Server.
func (server) Login(context.Context, string, crypto.Secret) error { return errors.ErrUnsupported }

func (s server) Knows(_ context.Context, user string) error {
	return s.ask(request{call: knows, user: user}).err
}

func (s server) SetPassword(_ context.Context, user string, password crypto.Secret) error {
	return s.ask(request{call: set, user: user, password: password.RevealString()}).err
}

func (s server) Verify(_ context.Context, user string, password crypto.Secret) (*rotator.HashCheck, error) {
	a := s.ask(request{call: proof, user: user, password: password.RevealString()})
	return &rotator.HashCheck{Check: func() (rotator.Verification, error) { return a.proof, nil }}, a.err
}

// Hash shows none, so no record has a proof.
func (server) Hash(context.Context, string) (string, error) { return "", nil }

func (r registry) CreateRecord(_ context.Context, t rotator.TenantID, fields map[string]any) (int, error) {
	a := r.ask(request{call: create, tenant: t, fields: copyOf(fields)})
	return a.version, a.err
}

func (r registry) CanCreateUser(_ context.Context, _ rotator.Origin, user string) error {
	return r.ask(request{call: canCreate, user: user}).err
}

func (r registry) CreateUser(_ context.Context, _ rotator.Origin, user string, password crypto.Secret) error {
	return r.ask(request{call: createUser, user: user, password: password.RevealString()}).err
}

func (c clock) Now() time.Time { return c.world.now }

func (c clock) Sleep(ctx context.Context, _ time.Duration) error {
	if err := c.ask(request{call: wait}).err; err != nil {
		return err
	}
	return ctx.Err()
}

func copyOf(fields map[string]any) map[string]any {
	out := maps.Clone(fields)
	for name, value := range out {
		if inner, isMap := value.(map[string]any); isMap {
			out[name] = maps.Clone(inner)
		}
	}
	return out
}

// effect executes a request.
func (w *world) effect(p *process, r *request, f fate) answer {
	record := w.records[r.tenant]
	user := userOf(map[string]any{"username": r.user})
	switch r.call {
	case list:
		w.asks++
		p.looked = w.asks
		return answer{names: w.listed()}
	case read:
		n := 0
		if record != nil {
			n = len(record.versions)
		}
		if f == stale {
			n--
		}
		return w.read(record, n, n)
	case readVersion:
		return w.read(record, r.version, 0)
	case write:
		if record == nil || r.version != len(record.versions) {
			return answer{err: rotator.ErrConflict}
		}
		w.checkWrite(p, r.tenant, record.newest().fields, r.fields)
		return answer{version: w.put(r.tenant, r.fields)}
	case create:
		if record != nil {
			return answer{err: rotator.ErrConflict}
		}
		return answer{version: w.put(r.tenant, r.fields)}
	case knows:
		if w.users[user] == "" {
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrRefused)}
		}
	case set:
		if w.users[user] == "" {
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrRefused)}
		}
		w.checkPush(p, user, r.password)
		w.users[user], w.set[user] = r.password, true
	case createUser:
		if w.users[user] != "" {
			return answer{err: errors.Join(rotator.ErrNotCreated, rotator.ErrRefused)}
		}
		w.checkPush(p, user, r.password)
		w.users[user], w.set[user] = r.password, true
	case proof:
		switch w.users[user] {
		case "":
			return answer{err: errors.Join(rotator.ErrUnknownUser, rotator.ErrUnverifiable)}
		case r.password:
			w.shown[user+" "+r.password] = true
			return answer{proof: rotator.Match}
		}
		return answer{proof: rotator.Mismatch}
	}
	return answer{}
}

func (w *world) listed() (names []string) {
	for _, t := range w.tenantIDs() {
		names = append(names, string(t))
	}
	return names
}

// read returns version n of a record; newest is n if it is requested as the newest.
func (w *world) read(r *record, n, newest int) answer {
	switch {
	case r == nil || n < 1 || n > len(r.versions):
		return answer{err: rotator.ErrAbsent}
	case r.versions[n-1].deleted && newest == n:
		return answer{err: &rotator.DeletedError{Version: n, Err: errors.New("deleted")}}
	case r.versions[n-1].deleted:
		return answer{err: rotator.ErrAbsent}
	}
	v := r.versions[n-1]
	return answer{doc: rotator.Document{Version: n, Fields: copyOf(v.fields)}, digest: v.digest}
}

// refusal is the error that a process receives instead of the answer.
func refusal(f fate) error {
	switch f {
	case lostBefore, lostAfter:
		return errLost
	case refused:
		return rotator.ErrRefused
	}
	return nil
}

func (p *process) title(r *request, f fate) string {
	what := fmt.Sprintf("%s: %s", p.name, r.call)
	switch {
	case r.tenant != "":
		what += " " + string(r.tenant[:1])
	case r.user != "":
		what += " " + r.user
	}
	return what + ": " + f.String()
}

// next returns the process's next call: the first by its tenant, and a wait only if
// there is no other call.
func (p *process) next() *request {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	var next *request
	for _, r := range p.held {
		if r.call != wait && (next == nil || r.key(p.world) < next.key(p.world)) {
			next = r
		}
	}
	return next
}

func (p *process) release(r *request, a answer) {
	p.world.mu.Lock()
	p.held = slices.DeleteFunc(p.held, func(h *request) bool { return h == r })
	p.world.mu.Unlock()
	r.answer <- a
}

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// adder is a process that adds a tenant. Each of its calls that others can see, or that
// sees what others do, waits for permission.
type adder struct {
	rotatortest.Creator
	steps  chan chan struct{}
	died   bool
	report sweep.Report
	err    error
	ended  chan struct{}
}

var errDied = errors.New("the process died")

func (a *adder) wait() error {
	if a.died {
		return errDied
	}
	may := make(chan struct{})
	a.steps <- may
	<-may
	if a.died {
		return errDied
	}
	return nil
}

type stepStore struct {
	*rotatortest.Store
	a *adder
}

func (s stepStore) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := s.a.wait(); err != nil {
			yield("", err)
			return
		}
		s.Store.List(ctx)(yield)
	}
}

func (s stepStore) Read(ctx context.Context, id rotator.TenantID) (rotator.Document, error) {
	if err := s.a.wait(); err != nil {
		return rotator.Document{}, err
	}
	return s.Store.Read(ctx, id)
}

func (s stepStore) Write(ctx context.Context, id rotator.TenantID, doc rotator.Document) (int, error) {
	if err := s.a.wait(); err != nil {
		return 0, err
	}
	return s.Store.Write(ctx, id, doc)
}

func (a *adder) CreateRecord(ctx context.Context, id rotator.TenantID, fields map[string]any) (int, error) {
	if err := a.wait(); err != nil {
		return 0, err
	}
	return a.Creator.CreateRecord(ctx, id, fields)
}

func (a *adder) CreateUser(ctx context.Context, origin rotator.Origin, user string, password crypto.Secret) error {
	if err := a.wait(); err != nil {
		return err
	}
	return a.Creator.CreateUser(ctx, origin, user, password)
}

type stepMailu struct {
	*rotatortest.Mailu
	a *adder
}

func (m stepMailu) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	return stepServer{server, m.a}, err
}

type stepServer struct {
	rotator.Server
	a *adder
}

func (s stepServer) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	if err := s.a.wait(); err != nil {
		return err
	}
	return s.Server.SetPassword(ctx, user, password)
}

// adding starts `tenant add` in its own process.
func (f *fleet) adding(t *testing.T, owner string, asked sweep.Addition) *adder {
	return f.stepping(t, owner, func(a *adder, s *sweep.Sweep) (sweep.Report, error) {
		return s.Add(t.Context(), a, []sweep.Addition{asked}, true)
	})
}

// sweeping starts a sweep in its own process.
func (f *fleet) sweeping(t *testing.T, owner string) *adder {
	return f.stepping(t, owner, func(_ *adder, s *sweep.Sweep) (sweep.Report, error) {
		return s.Run(t.Context(), sweep.Selection{}, 0)
	})
}

func (f *fleet) stepping(t *testing.T, owner string, do func(*adder, *sweep.Sweep) (sweep.Report, error)) *adder {
	a := &adder{Creator: f.registry(), steps: make(chan chan struct{}), ended: make(chan struct{})}
	sweep := f.process(t, owner)
	sweep.Workers, sweep.Store, sweep.Mailu, sweep.Observe = 1, stepStore{f.store, a}, stepMailu{f.mailu, a}, nil
	sweep.Envelope = func(*crypto.Keyring) rotator.Envelope { return cheap{} }
	go func() {
		defer close(a.ended)
		a.report, a.err = do(a, sweep)
	}()
	return a
}

// cheap seals without a key derivation, which would cost more than everything else.
type cheap struct{}

func (cheap) Seal(to crypto.Binding, password crypto.Secret) (crypto.SealedPassword, crypto.KeyVersion, error) {
	return crypto.SealedPassword(to.TenantID + " " + to.LastRotated + "|" + password.RevealString()), 1, nil
}

func (cheap) Open(_ crypto.KeyVersion, from crypto.Binding, sealed crypto.SealedPassword) (crypto.Secret, error) {
	password, sealedSo := strings.CutPrefix(string(sealed), from.TenantID+" "+from.LastRotated+"|")
	if !sealedSo {
		return crypto.Secret{}, errors.New("not sealed so")
	}
	return crypto.SecretFromString(password), nil
}

// step lets the process make that many calls; fewer, if it waits for time to pass.
func (a *adder) step(n int) {
	for range n {
		synctest.Wait()
		select {
		case may := <-a.steps:
			close(may)
		default:
			return
		}
	}
	synctest.Wait()
}

// finish lets the process run to its end, while others stay where they are.
func (a *adder) finish() {
	for {
		a.step(1)
		select {
		case <-a.ended:
			return
		case <-time.After(time.Second):
		}
	}
}

func (a *adder) outcome() string {
	if a.err != nil {
		return a.err.Error()
	}
	if len(a.report.Rows) == 0 {
		return "nothing to do"
	}
	return fmt.Sprintf("%s (%s)", a.report.Rows[0].Outcome, a.report.Rows[0].Reason)
}

// tenantsOf returns the records that name the user, as tenants or half-finished.
func (f *fleet) tenantsOf(user string) (whole, half []string) {
	for entry, err := range f.store.List(context.Background()) {
		if err != nil {
			continue
		}
		fields, _ := f.store.Get(entry)
		name, _ := fields["username"].(string)
		switch {
		case !rotator.SameAddress(name, user):
		case fields["password"] != nil && fields["pending"] == nil:
			whole = append(whole, entry)
		default:
			half = append(half, entry)
		}
	}
	return whole, half
}

const calls = 9 // maximum calls of a process before it has pushed, and some more

// However the calls of two processes that add one user interleave, and also if the
// first dies: one adds it, the other reports an existing tenant, and there is one
// record.
func TestTwoWhoAddOneUserMakeOneTenant(t *testing.T) {
	const user = "admin@bücher.example"
	first := sweep.Addition{Username: user, WebmailURL: string(serverA)}
	second := sweep.Addition{Username: "ADMIN@xn--bcher-kva.example", WebmailURL: string(serverB)}
	for _, there := range []bool{true, false} {
		for i := range calls {
			for j := range calls {
				for _, dies := range []bool{false, true} {
					inFleet(t, func(t *testing.T, f *fleet) {
						f.mailu.APIs = oneMailu
						if there {
							f.mailu.AddUser(user, "old password")
						}
						a, b := f.adding(t, "a", first), f.adding(t, "b", second)
						a.step(i)
						b.step(j)
						a.died = dies
						a.finish()
						b.finish()

						whole, half := f.tenantsOf(user)
						how := fmt.Sprintf("user there %t, a makes %d calls, b %d, then a goes on (dies %t): a %s, b %s", there, i, j, dies, a.outcome(), b.outcome())
						if len(whole) != 1 || len(half) != 0 || f.mailu.Sets() > 1 {
							t.Errorf("%s: tenants %v, half-finished %v, %d pushes", how, whole, half, f.mailu.Sets())
						}
						// A process that waited in its push while the other took over
						// has added it too.
						if !dies && strings.Count(how, "added (")+strings.Count(how, "is a tenant already") != 2 || !dies && !strings.Contains(how, "added (") {
							t.Errorf("%s", how)
						}
					})
				}
			}
		}
	}
}

// The id that a user's tenant would get may now belong to another.
func TestNewTenantWhoseIDIsTakenHasTheNextOne(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.store.Put(string(rotator.NewTenantID(rotator.Address(userOf(1)), 0)), map[string]any{"username": "renamed@1.example", "webmail_url": string(serverA), "password": "b2xk"})
		f.store.Put(string(rotator.NewTenantID(rotator.Address(userOf(1)), 1)), map[string]any{"username": userOf(1)})
		f.store.Delete(string(rotator.NewTenantID(rotator.Address(userOf(1)), 1)))

		report := f.adds(t, asking(1, unnamed), asking(1, unnamed, atB))

		mustHave(t, report, rotator.Added, rotator.Added)
		for i, row := range report.Rows {
			if want := rotator.NewTenantID(rotator.Address(userOf(1)), 2+i); row.Tenant != string(want) {
				t.Errorf("got %s, want %s", row.Tenant, want)
			}
		}
	})
}

func mustHave(t *testing.T, report sweep.Report, outcomes ...rotator.Outcome) {
	t.Helper()
	for i, row := range report.Rows {
		if row.Outcome != outcomes[i] {
			t.Errorf("%s: %s, %s; want %s", row.Tenant, row.Outcome, row.Reason, outcomes[i])
		}
	}
}

func TestNothingIsPushedBesideANewRecordThatCannotBeRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 3)
		f.mailu.AddUser(userOf(1), "old password")
		created := false
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpCreate && !created {
				created = true
				f.store.Put(string(tenant(2)), map[string]any{"username": userOf(2)})
			}
			if c.Op == rotatortest.OpRead && c.Tenant == tenant(2) {
				return rotatortest.Fault{Before: rotator.ErrForbidden}
			}
			return rotatortest.Fault{}
		}

		report := f.adds(t, asking(1))

		mustEnd(t, report, "1 unfinished")
		if f.mailu.Sets() != 0 || !strings.Contains(report.Rows[0].Reason, "may have the same user") {
			t.Errorf("%d pushes: %s", f.mailu.Sets(), report.Rows[0].Reason)
		}
	})
}

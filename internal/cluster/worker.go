package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// maxUnopened is how often a batch is given back whose key no worker has.
const maxUnopened = 5

// Session is what a worker's batches share while it has any: a login to Vault, the master
// keys, and the limit of what this host computes at a time.
type Session interface {
	Keys() *crypto.Keyring
	// Idle is the number of this host's cores that compute nothing.
	Idle() int
	// Work does as [sweep.Sweep.Work]: an error that is no [sweep.GivenUpError] gives the
	// batch to another worker.
	Work(ctx context.Context, b sweep.Batch, held func() bool, report func(sweep.Settled)) error
	Close()
}

// Worker takes batches for the servers that its configuration lists.
type Worker struct {
	Cluster *Cluster
	Origins []rotator.Origin
	Open    func(context.Context) (Session, error)
	Ready   func() // called once, when the others know of the worker; may be nil

	sessions  sessions
	admission *admission
	batches   atomic.Int32 // under way
}

// Run works until ctx ends, and returns when what it had begun has ended or was given
// back. Failures are reported, and tried again.
func (w *Worker) Run(ctx context.Context) {
	w.sessions.open, w.sessions.clock = w.Open, w.Cluster.Clock
	w.admission = newAdmission(w.Cluster.Clock, w.sessions.idleCores)
	var servers sync.WaitGroup
	for _, origin := range w.Origins {
		servers.Go(func() { w.serve(ctx, origin) })
	}
	w.stayPresent(ctx)
	servers.Wait()
	w.sessions.renew()
	w.Cluster.leave(ctx, w.Cluster.Name)
}

// stayPresent announces the worker until ctx ends, at once when the connection is back,
// and ends sessions that nothing uses.
func (w *Worker) stayPresent(ctx context.Context) {
	since, ready := w.Cluster.Clock.Now(), w.Ready
	for {
		p := Presence{Worker: w.Cluster.Name, Version: w.Cluster.Version, Since: since, Batches: int(w.batches.Load())}
		for _, origin := range w.Origins {
			p.Servers = append(p.Servers, hash(origin))
		}
		err := w.Cluster.announce(ctx, p)
		if emptied(err) {
			_, _ = w.Cluster.create(ctx)
			err = w.Cluster.announce(ctx, p)
		}
		if err == nil && ready != nil {
			ready()
			ready = nil
		}
		w.sessions.endIdle()
		if w.Cluster.pause(ctx, w.Cluster.Announce) != nil {
			return
		}
	}
}

// serve takes one batch of a server after the other. The consumer gives each of them to
// one worker, and only one of the server at a time to all of them. After a failure it
// leaves the server to the other workers for a while.
func (w *Worker) serve(ctx context.Context, origin rotator.Origin) {
	var last string
	for ctx.Err() == nil {
		begun := w.Cluster.Clock.Now()
		err := w.takeAll(ctx, origin)
		if ctx.Err() != nil {
			return
		}
		pause := w.Cluster.AckWait
		if errors.Is(err, ErrUnreachable) || emptied(err) {
			pause = min(pause, retryPause)
		}
		if text := err.Error(); text != last || w.Cluster.Clock.Now().Sub(begun) > presenceTTL { // an outage is reported once
			w.Cluster.Report(fmt.Errorf("work for %s: %w", origin, err))
			last = text
		}
		_ = w.Cluster.Clock.Sleep(ctx, pause)
	}
}

// takeAll takes batches until something fails.
func (w *Worker) takeAll(ctx context.Context, origin rotator.Origin) error {
	consumer, err := w.consumer(ctx, origin)
	if err != nil {
		return err
	}
	for waits := false; ; { // a batch waits in NATS, as far as is known
		asked, message, err := w.ask(ctx, consumer, waits)
		switch {
		case err != nil:
			return err
		case message == nil:
			waits = false
		case !w.admission.try():
			_ = message.Nak() // another worker may have an idle core
			waits = true
		default:
			if err := w.take(ctx, origin, message, asked); err != nil {
				return err
			}
			waits = true // maybe the next one
		}
	}
}

// ask returns a batch, which was delivered no earlier than asked for, or nil if none comes.
// It asks for one that waits only when a core is idle, and not for those of several
// servers at once: most would come in vain.
//
// It never asks for what is there at the moment (FetchNoWait): NATS does not answer while
// another worker has a batch of the server, and a batch that comes after the wait for that
// answer is lost until AckWait is over.
func (w *Worker) ask(ctx context.Context, consumer jetstream.Consumer, waits bool) (asked time.Time, message jetstream.Msg, err error) {
	if waits {
		next, err := w.admission.wait(ctx)
		if err != nil {
			return asked, nil, err
		}
		defer next()
	}
	listening, cancel := context.WithTimeout(ctx, w.Cluster.AckWait/2)
	defer cancel()
	asked = w.Cluster.Clock.Now()
	fetched, err := consumer.Fetch(1, jetstream.FetchContext(listening))
	if err != nil {
		return asked, nil, fmt.Errorf("ask for a batch: %w", explain(err))
	}
	for message := range fetched.Messages() {
		return asked, message, nil
	}
	if err := fetched.Error(); err != nil && listening.Err() == nil && !errors.Is(err, nats.ErrTimeout) {
		return asked, nil, fmt.Errorf("ask for a batch: %w", explain(err))
	}
	return asked, nil, ctx.Err()
}

func (w *Worker) consumer(ctx context.Context, origin rotator.Origin) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := w.Cluster.work.CreateOrUpdateConsumer(ctx, w.Cluster.consumerConfig(origin))
	if emptied(err) {
		_, _ = w.Cluster.create(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", origin, explain(err))
	}
	return consumer, nil
}

func (c *Cluster) consumerConfig(origin rotator.Origin) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: hash(origin), Description: "one batch of this server at a time, whatever the number of workers",
		FilterSubject: c.workSubject(hash(origin), "*"), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: c.AckWait, MaxAckPending: 1, MaxDeliver: -1, Replicas: c.Replicas,
	}
}

// take does one batch, which was delivered no earlier than asked for.
func (w *Worker) take(ctx context.Context, origin rotator.Origin, message jetstream.Msg, asked time.Time) error {
	w.batches.Add(1)
	defer w.batches.Add(-1)
	session, release, err := w.sessions.get(ctx)
	if err != nil {
		_ = message.Nak() // else it comes back after AckWait
		return fmt.Errorf("batch given back: %w", err)
	}
	defer release()
	var t task
	s, err := unseal(session.Keys(), message.Subject(), message.Data(), &t)
	switch {
	case errors.Is(err, errForeign) || err != nil && attempt(message) > maxUnopened:
		w.Cluster.Report(fmt.Errorf("batch for %s refused: %w", origin, err))
		_ = message.Term()
		return nil
	case err != nil: // a key that is newer than this session
		w.sessions.renew()
		_ = message.Nak()
		return fmt.Errorf("batch given back: %w", err)
	}
	b := &delivery{cluster: w.Cluster, session: session, task: t, sealer: s, message: message, renewed: asked}
	if err := b.do(ctx); err != nil {
		return fmt.Errorf("batch %s of run %s: %w", t.ID, t.Run, err)
	}
	return nil
}

// sessions keeps one session while batches use it, and for a while after the last one.
type sessions struct {
	open  func(context.Context) (Session, error)
	clock rotator.Clock

	opening sync.Mutex // held while a session opens
	mu      sync.Mutex // guards the fields below
	current *shared
	awaited int // batches that wait for a session
}

// shared is a session with the number of its users.
type shared struct {
	Session
	users int
	idle  time.Time // since when there are none
	old   bool      // it ends with its last user
}

// get returns the session, and what ends its use.
func (s *sessions) get(ctx context.Context) (Session, func(), error) {
	s.await(1)
	defer s.await(-1)
	s.opening.Lock()
	defer s.opening.Unlock()
	if mine := s.use(); mine != nil {
		return mine, func() { s.release(mine) }, nil
	}
	session, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	mine := &shared{Session: session, users: 1}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = mine
	return mine, func() { s.release(mine) }, nil
}

func (s *sessions) await(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited += n
}

// use returns the current session, whose user the caller is then; nil without one.
func (s *sessions) use() *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	s.current.users++
	return s.current
}

func (s *sessions) release(mine *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine.users--
	mine.idle = s.clock.Now()
	if mine.old && mine.users == 0 {
		mine.Close()
	}
}

// renew makes the next batch use a new session.
func (s *sessions) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
}

// retire takes the session out of use. The caller holds the lock.
func (s *sessions) retire() {
	if s.current == nil {
		return
	}
	s.current.old = true
	if s.current.users == 0 {
		s.current.Close()
	}
	s.current = nil
}

// endIdle ends the session if nothing has used it for a while: the master keys are not
// kept longer than needed.
func (s *sessions) endIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.users == 0 && s.clock.Now().Sub(s.current.idle) > presenceTTL/4 {
		s.retire()
	}
}

// idleCores is the number of this host's idle cores. Before there is a session it is one,
// for the batch that opens it.
func (s *sessions) idleCores() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return max(1-s.awaited, 0)
	}
	return s.current.Idle()
}

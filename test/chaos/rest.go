package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"mailu-rotator/test/faultproxy"
)

// How many emergency runs meet a worker that is stopped, and a wrong token.
const (
	stoppedRuns = 2
	tokenRuns   = 3
)

// workers are the processes that only work.
func (s *stage) workers() []*process { return s.processes[2:5] }

// restWorkers starts the workers once more, and before them NATS, which an outage may
// have left dead.
func (s *stage) restWorkers(ctx context.Context) (stop func() error, err error) {
	if err := s.nats.Restart(ctx); err != nil {
		return nil, err
	}
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	all := s.workers()
	ended, ready := make(chan error, len(all)), make(chan struct{}, len(all))
	stop = func() (err error) {
		end()
		for range all {
			err = errors.Join(err, <-ended)
		}
		s.nats.Stop()
		return errors.Join(err, s.keepStore())
	}
	for i, p := range all {
		p.link.Heal()
		s.observe(p, i, nil)
		p.findings = nil
		p.log.hear(func(e event) {
			if p.hear(e); e.Message == "worker ready" {
				ready <- struct{}{}
			}
		})
		go func() { ended <- p.once(living, nil) }()
	}
	for range all {
		select {
		case <-ready:
		case <-time.After(time.Minute):
			return nil, errors.Join(errors.New("the workers are not ready within a minute"), stop())
		}
	}
	return stop, nil
}

// emergencies runs the whole fleet again, with a worker that is stopped and with a wrong
// token for one server, and verifies the fleet afterwards.
func (s *stage) emergencies(ctx context.Context, r *finalState) error {
	for range stoppedRuns {
		if err := s.stoppedWorker(ctx, r); err != nil {
			return err
		}
	}
	for range tokenRuns {
		if err := s.wrongToken(ctx, r); err != nil {
			return err
		}
	}
	status, output, err := s.emergency(ctx, r)
	if err != nil {
		return err
	}
	r.want(status, "the emergency run with the right token again", output)
	if status, output, err = s.runProgram(ctx, "verify"); err != nil {
		return err
	}
	r.want(status, "verify", output)
	for _, m := range s.meters {
		m.mu.Lock()
		findings, most := m.findings, m.most
		m.mu.Unlock()
		r.findings = append(r.findings, findings...)
		s.tally.addN("in flight", "at most, at "+m.name, most)
	}
	return nil
}

// emergency is an undisturbed run.
func (s *stage) emergency(ctx context.Context, r *finalState) (status int, output string, err error) {
	e, args := s.runs.begin()
	status, output, err = s.runProgram(ctx, args...)
	s.runs.end(e, status)
	r.findings = append(r.findings, judgeReport(output)...)
	return status, output, err
}

// stoppedWorker judges a run in which one worker is stopped with its first push, until
// another one has its batch.
func (s *stage) stoppedWorker(ctx context.Context, r *finalState) error {
	struck := make(chan *process, len(s.workers()))
	var one atomic.Bool
	for _, p := range s.workers() {
		t := lay(p.gates, func(m sighting) bool { return m.step == push && one.CompareAndSwap(false, true) },
			faultproxy.Fault{Kind: faultproxy.Delay}, func(sighting) { p.halt(); struck <- p })
		defer t.take()
	}
	ended, end := context.WithCancel(ctx)
	continued := make(chan struct{})
	go func() {
		defer close(continued)
		select {
		case p := <-struck:
			pause(ctx, ackWait+ackWait/10)
			p.goOn()
			s.tally.add("faults", stoppedShort)
		case <-ended.Done():
			select {
			case p := <-struck:
				p.goOn()
			default:
			}
		}
	}()
	status, output, err := s.emergency(ctx, r)
	end()
	<-continued
	if err != nil {
		return err
	}
	r.want(status, "the emergency run with a stopped worker", output)
	return nil
}

// halt stops the process where it is, until goOn.
func (p *process) halt() {
	p.stopped.Store(true)
	p.work.freeze()
	p.signal(syscall.SIGSTOP)
}

func (p *process) goOn() {
	p.signal(syscall.SIGCONT)
	p.work.thaw()
	p.stopped.Store(false)
}

// wrongToken judges a run in which one server takes another token: one of the workers
// finds out, and none of the others sends it again.
func (s *stage) wrongToken(ctx context.Context, r *finalState) error {
	server := s.mailus[0]
	token, before := server.Token(), len(server.Requests())
	server.SetToken("another-" + strings.Repeat("token-", 5))
	defer server.SetToken(token)
	status, output, err := s.emergency(ctx, r)
	if err != nil {
		return err
	}
	refused := 0
	for _, request := range server.Requests()[before:] {
		if request.Status == http.StatusForbidden {
			refused++
		}
	}
	s.tally.add("wrong token", "runs")
	s.tally.addN("wrong token", "requests refused with 403", refused)
	if refused != 1 || status != 2 {
		r.findings = append(r.findings, finding{at: time.Now(), what: fmt.Sprintf(
			"a wrong token was sent %d times in one run, which ended with status %d:\n%s", refused, status, output)})
	}
	return nil
}

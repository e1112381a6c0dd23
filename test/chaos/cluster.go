package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"mailu-rotator/test/faultproxy"
)

// A cluster is two daemons, three workers and emergency runs, each process of a host of
// its own, and a NATS server. Everything here is by the shortest times that the program
// accepts, so that a short run has many batches that come back.
const (
	ackWait         = 5 * time.Second
	clusterClaimTTL = 6 * time.Second // must be longer
	clusterBatch    = 12
	clusterLimit    = 2 // of requests in flight at each Mailu server, over all processes
)

// clustered is what a process has in a cluster.
type clustered struct {
	link   *faultproxy.Link       // to NATS
	hunted []step                 // nil: those of a process on its own
	rest   time.Duration          // between two lives
	dress  func(*exec.Cmd)        // called before each life; may be nil
	over   func(*os.ProcessState) // called after each; may be nil

	stopped atomic.Bool // by SIGSTOP
	work    workLog
}

func (s *stage) maxConcurrent() int {
	if s.cluster {
		return clusterLimit
	}
	return 1
}

// natsURL is NATS without a link, for undisturbed runs; empty without a cluster.
func (s *stage) natsURL() string {
	if s.nats == nil {
		return ""
	}
	return s.nats.URL
}

func clusterRotation() rotation {
	r := allTheTime(clusterClaimTTL)
	r.Schedule = "@every 3s" // each tick is a run
	return r
}

// The steps at which the processes of a cluster are killed.
func planning() []step { return []step{list, publish, follow} }
func working() []step  { return []step{prepare, push, verify, commit, report, acknowledge} }

// prepareCluster creates the processes.
func (s *stage) prepareCluster() error {
	for _, server := range s.mailus {
		s.meters[server] = &meter{name: server.Origin(), limit: clusterLimit, tally: s.tally}
	}
	for _, p := range []*process{
		{name: "daemon 1", daemon: true, clustered: clustered{hunted: planning()}},
		{name: "daemon 2", daemon: true, clustered: clustered{hunted: planning()}},
		{name: "worker 1", daemon: true, args: []string{"worker"}, clustered: clustered{hunted: working()}},
		{name: "worker 2", daemon: true, args: []string{"worker"}, clustered: clustered{hunted: working()}},
		{name: "worker 3", daemon: true, args: []string{"worker"}, clustered: clustered{hunted: working()}},
		{name: "run-now", clustered: clustered{hunted: planning(), rest: 3 * time.Second}},
	} {
		p.binary = s.program
		if !p.daemon {
			s.runs.direct(p, &s.leaks)
		}
		for _, server := range s.mailus {
			front, err := s.meters[server].front(p, server.Origin(), s.observer.byUser)
			if err != nil {
				return err
			}
			p.work.fronts = append(p.work.fronts, front)
			p.mailus = append(p.mailus, "http://"+front.Addr)
		}
		var err error
		if p.link, err = faultproxy.NewLink(s.nats.Addr); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := s.equip(p, len(s.processes)); err != nil {
			return err
		}
		p.log.heard = p.hear
	}
	return nil
}

func (p *process) hear(e event) {
	if e.Message == "tenant done" {
		p.work.ends(e.Tenant)
	}
}

// closeCluster ends what prepareCluster started.
func (c *clustered) closeCluster() {
	if c.link != nil {
		c.link.Close()
	}
	for _, front := range c.work.fronts {
		_ = front.Close()
	}
}

// steps are those at which the process is killed.
func (p *process) steps() []step {
	if p.hunted != nil {
		return p.hunted
	}
	return steps()
}

package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/rotator"
)

// The checks of [Check] and [Inspection.CheckWorkers].
const (
	checkReachable   = "reachable"
	checkPermissions = "permissions"
	checkJetStream   = "JetStream"
	checkStreams     = "streams"
	checkQueue       = "queue"
	checkPlanning    = "planning"
	checkWorkers     = "workers"
)

// Check connects and looks at everything that a run needs of NATS, and changes nothing.
// It stops at the first failed check on which the others depend; then the inspection is
// nil.
func Check(ctx context.Context, config Config, origins []rotator.Origin) ([]rotator.Check, *Inspection) {
	c, err := Dial(ctx, config)
	if err != nil {
		return append([]rotator.Check{notReachable(err)},
			rotator.Skipped("NATS is not reachable", checkPermissions, checkJetStream, checkStreams, checkQueue, checkPlanning)...), nil
	}
	defer c.Close()
	checks := []rotator.Check{c.reachable()}
	permissions, mayLook := c.permissions(ctx)
	if checks = append(checks, permissions); !mayLook {
		return append(checks, rotator.Skipped("NATS permits only planners to look", checkJetStream, checkStreams, checkQueue, checkPlanning)...), nil
	}
	i, err := c.Inspect(ctx, origins)
	if err != nil {
		return append(append(checks, jetStream(err)), rotator.Skipped("JetStream does not serve", checkStreams, checkQueue, checkPlanning)...), nil
	}
	return append(append(checks, rotator.Passed(checkJetStream, "on")), i.Checks(c.Clock.Now())...), &i
}

func notReachable(err error) rotator.Check {
	found := strings.TrimSuffix(err.Error(), "; "+ErrUnreachable.Error())
	fix := "on NATS' host: systemctl status nats-server; a run without NATS: mailu-rotator --run-now --local"
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		fix = "list the public key of cluster.nkey_file in the users of nats-server.conf"
	case errors.As(err, &unknown):
		fix = "set cluster.ca_file to the authority of NATS' certificate"
	}
	return rotator.Broken(checkReachable, found, fix)
}

func (c *Cluster) reachable() rotator.Check {
	security := "without TLS"
	if _, err := c.conn.TLSConnectionState(); err == nil {
		security = "over TLS, its certificate is trusted"
	}
	return rotator.Passed(checkReachable, fmt.Sprintf("NATS %s at %s, %s", c.conn.ConnectedServerVersion(), c.conn.ConnectedUrlRedacted(), security))
}

// permissions warns if this process can only plan or only work, and fails if it can do
// neither. Planners may also look.
func (c *Cluster) permissions(ctx context.Context) (check rotator.Check, mayLook bool) {
	const name = checkPermissions
	no, err := c.answersRefused(ctx)
	asPlanner, failedPlanner := c.refused(ctx, Planner)
	asWorker, failedWorker := c.refused(ctx, Works)
	err = errors.Join(err, failedPlanner, failedWorker)
	switch {
	case err != nil:
		return rotator.Broken(name, err.Error(), permit), false
	case no:
		return rotator.Broken(name, "may not subscribe to "+inbox, permit), false
	case len(asPlanner) > 0 && len(asWorker) > 0:
		return rotator.Broken(name, "may not publish to "+strings.Join(asWorker, ", "), permit), false
	case len(asPlanner) > 0:
		return rotator.Warned(name, "enough for a worker; to plan it may not publish to "+strings.Join(asPlanner, ", "), "if this host runs more than mailu-rotator worker: "+permit), false
	case len(asWorker) > 0:
		return rotator.Warned(name, "enough to plan; as a worker it may not publish to "+strings.Join(asWorker, ", "), "if this host runs more than mailu-rotator --run-now: "+permit), true
	}
	return rotator.Passed(name, "to plan and to work"), true
}

const permit = "permit in nats-server.conf what docs/cluster.md lists"

func jetStream(err error) rotator.Check {
	fix := "on NATS' host: nats server report jetstream"
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders) {
		return rotator.Broken(checkJetStream, "off, or not enabled for this account", "add to nats-server.conf: jetstream { store_dir: /var/lib/nats }")
	}
	return rotator.Broken(checkJetStream, err.Error(), fix)
}

// Checks are those of streams, queues and plans.
func (i *Inspection) Checks(now time.Time) []rotator.Check {
	return []rotator.Check{i.streams(), i.queue(now), i.planning(now)}
}

func (i *Inspection) streams() rotator.Check {
	if len(i.Differences)+len(i.Replicas) == 0 {
		found := "as this release makes them"
		if len(i.Missing) > 0 {
			found = strings.Join(i.Missing, ", ") + ": the first daemon or run makes them"
		}
		return rotator.Passed(checkStreams, found)
	}
	var texts, fixes []string
	for _, d := range i.Differences {
		texts = append(texts, d.Of+": "+d.Text)
		if !slices.Contains(fixes, d.Fix) {
			fixes = append(fixes, d.Fix)
		}
	}
	for _, r := range i.Replicas {
		text, fix := "lags behind", "on its host: journalctl -u nats-server"
		if r.Offline {
			text, fix = "is offline", "on its host: systemctl status nats-server"
		}
		texts = append(texts, fmt.Sprintf("NATS server %s, a replica of %s, %s", r.Server, strings.Join(r.Of, ", "), text))
		if !slices.Contains(fixes, fix) {
			fixes = append(fixes, fix)
		}
	}
	return rotator.Warned(checkStreams, strings.Join(texts, "; "), strings.Join(fixes, " && "))
}

func (i *Inspection) queue(now time.Time) rotator.Check {
	batches, oldest := 0, time.Time{}
	for _, q := range i.Queues {
		batches += q.Batches
		if oldest.IsZero() || !q.Oldest.IsZero() && q.Oldest.Before(oldest) {
			oldest = q.Oldest
		}
	}
	switch {
	case batches == 0:
		return rotator.Passed(checkQueue, "empty")
	case oldest.IsZero():
		return rotator.Passed(checkQueue, fmt.Sprintf("batches: %d, servers: %d", batches, len(i.Queues)))
	}
	return rotator.Passed(checkQueue, fmt.Sprintf("batches: %d, servers: %d, the first one since %s", batches, len(i.Queues), now.Sub(oldest).Round(time.Second)))
}

func (i *Inspection) planning(now time.Time) rotator.Check {
	if len(i.Planned) == 0 {
		return rotator.Passed(checkPlanning, "no run is being planned")
	}
	var texts []string
	for _, p := range i.Planned {
		text := p.Run + " by " + p.Planner
		if p.Stale(now) {
			text += ", which was last seen " + now.Sub(p.At).Round(time.Second).String() + " ago: the next daemon plans it"
		}
		texts = append(texts, text)
	}
	return rotator.Passed(checkPlanning, strings.Join(texts, "; "))
}

// CheckWorkers checks who works for each server, given the number of its tenants, and
// whether all are of one release.
func (i *Inspection) CheckWorkers(version string, tenants map[rotator.Origin]int) []rotator.Check {
	checks := []rotator.Check{i.releases(version)}
	for _, origin := range slices.Sorted(maps.Keys(tenants)) {
		var names []string
		for _, w := range i.Workers {
			if w.Lists(origin) {
				names = append(names, w.Worker)
			}
		}
		switch n := tenants[origin]; {
		case len(names) == 0 && n > 0:
			checks = append(checks, rotator.Broken(string(origin), fmt.Sprintf("no worker lists it; tenants: %d", n), StartWorker))
		case len(names) == 0:
			checks = append(checks, rotator.Warned(string(origin), "no worker lists it", StartWorker))
		default:
			checks = append(checks, rotator.Passed(string(origin), strings.Join(names, ", ")))
		}
	}
	return checks
}

// StartWorker is what to do about a server that no worker lists.
const StartWorker = "on a host whose mailu.servers lists it: systemctl start mailu-rotator-worker"

// releases compares the workers' releases with this one.
func (i *Inspection) releases(version string) rotator.Check {
	if len(i.Workers) == 0 {
		return rotator.Broken(checkWorkers, "none", StartWorker)
	}
	var others []string
	for _, w := range i.Workers {
		if w.Version != version {
			others = append(others, w.Worker+" has "+w.Version)
		}
	}
	if len(others) > 0 {
		return rotator.Warned(checkWorkers, strings.Join(others, ", ")+", this is "+version, "give all hosts one release")
	}
	return rotator.Passed(checkWorkers, fmt.Sprintf("%d, all of release %s", len(i.Workers), version))
}

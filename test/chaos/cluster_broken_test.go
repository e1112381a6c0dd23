//go:build convictions

package main

import (
	"slices"
	"strings"
	"testing"
)

// Each judge of a cluster must convict the program that breaks what it judges.
func TestABrokenClusterIsFound(t *testing.T) {
	tests := []struct {
		name   string
		broken change
		want   string
	}{
		{
			name: "a worker that ignores held", want: "requests in flight at",
			broken: change{
				file: "internal/cluster/delivery.go",
				old:  "func (d *delivery) held() bool { return d.over() == nil }",
				new:  "func (d *delivery) held() bool { return true }",
			},
		},
		{
			name: "a stop that is not written", want: "a wrong token was sent",
			broken: change{
				file: "internal/cluster/delivery.go",
				old:  "if _, err = d.cluster.put(ctx, key, value); err == nil || !d.held() {",
				new:  "if _ = value; err == nil {",
			},
		},
		{
			name: "a follower that reports done too early", want: "after the run that asked for it had ended",
			broken: change{
				file: "internal/cluster/follower.go",
				old:  "f.byID[r.Begun.Batch].begun = true",
				new:  "f.byID[r.Begun.Batch].done = true",
			},
		},
		{
			name: "success without a result", want: "reported success, and the password is older",
			broken: change{
				file: "internal/cluster/follower.go",
				old:  "f.byID[r.Begun.Batch].begun = true",
				new: `f.byID[r.Begun.Batch].done = true
		for _, a := range f.byID[r.Begun.Batch].Assignments {
			f.settle(sweep.Settled{Tenant: a.Tenant, Origin: a.Origin, Outcome: rotator.Rotated})
		}`,
			},
		},
		{
			name: "a decision that is not made again", want: "without a reason",
			broken: change{
				file: "rotator/sweep/plan.go",
				old:  "case sel.All && c.RotatedSince(sel.RotatedBefore, now) && c.KeyVersion >= sel.NewestKey:",
				new:  "case sel.All && c.RotatedSince(sel.RotatedBefore, now) && c.KeyVersion > sel.NewestKey:",
			},
		},
		{
			name: "an origin in NATS", want: "NATS' store has an origin",
			broken: change{
				file: "internal/cluster/worker.go",
				old:  "Version: w.Cluster.Version,",
				new:  "Version: string(w.Origins[0]),",
			},
		},
		{
			name: "a password in the log", want: "the program's output has a password",
			broken: change{
				file: "rotator/rotate.go",
				old:  "pushed := r.push(ctx)",
				new:  "pushed := r.push(ctx)\n\t\tprintln(r.password.RevealString())",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of the time it waits for claims
			// The undisturbed runs show it: there a worker is stopped, and a token is wrong.
			for seed := range uint64(3) {
				o := options{cluster: true, seed: 1 + seed, tenants: 45, changes: []change{test.broken}}

				got, err := run(t.Context(), o, t.Output())

				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(got.findings, func(f finding) bool { return strings.Contains(f.what, test.want) }) {
					return
				}
			}
			t.Errorf("nothing found that %s", test.want)
		})
	}
}

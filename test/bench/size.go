package main

import (
	"fmt"
	"time"
)

// size is the scale of the measurements.
type size struct {
	Repetitions int           `json:"repetitions"`
	Servers     int           `json:"servers"` // Mailu servers that answer immediately
	Waiting     int           `json:"waiting"` // Mailu servers with the observed time: so few that the cores are not the bound
	Requests    int           `json:"-"`       // tenants whose requests are counted
	Scan        int           `json:"scan"`    // tenants
	Rotate      int           `json:"rotate"`
	Emergency   int           `json:"emergency"`
	Proof       int           `json:"proof"` // tenants of the one server that computes its hashes
	Verify      int           `json:"verify"`
	Cluster     int           `json:"cluster"` // tenants that workers rotate
	Sites       int           `json:"sites"`   // Mailu servers of these: several for each worker, since a server's batch is done by one
	Script      int           `json:"script"`
	Slow        int           `json:"slow"` // tenants of the healthy servers
	Idle        int           `json:"idle"` // tenants that an idle daemon has read
	Watch       time.Duration `json:"-"`    // how long it is watched
	Settle      time.Duration `json:"-"`    // wait before that
	Starts      int           `json:"starts"`
	Compute     time.Duration `json:"-"` // duration of the derivations that measure one's cost
	GrowScan    []int         `json:"-"`
	GrowRotate  []int         `json:"-"`
	Real        []int         `json:"-"` // fleets whose scan's memory is measured on a real Vault
	Simulated   []int         `json:"-"` // and on a simulated one
	Reported    []int         `json:"-"` // fleets whose emergency run's memory is measured, on a real one
	Profile     time.Duration `json:"-"`
}

func sizeOf(o options) (size, error) {
	full := size{
		Repetitions: 3, Servers: 8, Waiting: 4, Requests: 200, Scan: 10_000, Rotate: 800, Emergency: 1600, Proof: 60, Verify: 200, Cluster: 576, Sites: 96, Script: 96, Slow: 400,
		Idle: 1000, Watch: time.Minute, Settle: 10 * time.Second, Starts: 20, Compute: 2 * time.Second,
		GrowScan: []int{100, 1000, 10_000, 100_000}, GrowRotate: []int{100, 1000, 10_000},
		Real: []int{1000, 10_000, 100_000}, Simulated: []int{1000, 10_000, 100_000, 1_000_000},
		Reported: []int{1000, 10_000}, Profile: 5 * time.Second,
	}
	switch o.scale {
	case "full":
		if o.long {
			full.GrowRotate = append(full.GrowRotate, 100_000)
		}
		return full, nil
	case "check":
		full.Emergency, full.Rotate, full.Script, full.Slow, full.Cluster, full.Sites = 400, 400, 48, 200, 192, 32
		full.Real, full.Simulated, full.Reported = []int{1000}, []int{1000, 1_000_000}, nil
		return full, nil
	case "smoke":
		return size{
			Repetitions: 1, Servers: 2, Waiting: 2, Requests: 50, Scan: 50, Rotate: 50, Emergency: 8, Proof: 4, Verify: 4, Cluster: 16, Sites: 2, Script: 4, Slow: 8,
			Idle: 50, Watch: time.Second, Starts: 2, Compute: 50 * time.Millisecond,
			GrowScan: []int{20, 50}, GrowRotate: []int{10, 20}, Real: []int{50}, Simulated: []int{50, 500},
			Reported: []int{10}, Profile: time.Second,
		}, nil
	}
	return size{}, fmt.Errorf("-scale %s: there are full, check and smoke", o.scale)
}

package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const million = 1_000_000

// estimate computes the time of an emergency run over a million tenants: the slowest of
// three, since they overlap.
//
//	Mailu:      N × cost ÷ (S × max_concurrent)
//	this host:  N × (key derivation + bcrypt of verify) ÷ cores
//	Vault:      N ÷ its ceiling for a read and two writes
func (r results) estimate() string {
	var lines [][]string
	vault := limit{"Vault", time.Duration(million / max(r.Costs.Vault, 1) * float64(time.Second))}
	for _, servers := range []int{1, 10, 100} {
		mailu := limit{"Mailu", million * hashing / time.Duration(servers*maxConcurrent)}
		proven := limit{"this host", million * (r.Costs.Derivation + r.Costs.Bcrypt) / time.Duration(max(r.Host.Cores, 1))}
		trusted := limit{"this host", million * r.Costs.Derivation / time.Duration(max(r.Host.Cores, 1))}
		lines = append(lines, []string{fmt.Sprint(servers), slowest(mailu, proven, vault), slowest(mailu, trusted, vault)})
	}
	return markdown([]string{"Mailu servers", "verify: hash", "verify: none"}, lines)
}

// limit is the time that a run takes if only one resource bounds it.
type limit struct {
	resource string
	time     time.Duration
}

// slowest formats the limit that bounds the run.
func slowest(all ...limit) string {
	most := slices.MaxFunc(all, func(a, b limit) int { return cmp.Compare(a.time, b.time) })
	return long(most.time) + " (" + most.resource + ")"
}

// long formats a duration for people.
func long(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return figure(d.Hours()/24) + " days"
	case d >= 2*time.Hour:
		return figure(d.Hours()) + " h"
	}
	return figure(d.Minutes()) + " min"
}

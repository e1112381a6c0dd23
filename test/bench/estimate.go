package main

import (
	"fmt"
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
	vault := time.Duration(million / max(r.Costs.Vault, 1) * float64(time.Second))
	for _, servers := range []int{1, 10, 100} {
		mailu := million * hashing / time.Duration(servers*maxConcurrent)
		proven := million * (r.Costs.Derivation + r.Costs.Bcrypt) / time.Duration(max(r.Host.Cores, 1))
		trusted := million * r.Costs.Derivation / time.Duration(max(r.Host.Cores, 1))
		lines = append(lines, []string{
			fmt.Sprint(servers), long(mailu), long(proven), long(trusted), long(vault),
			long(max(mailu, proven, vault)), long(max(mailu, trusted, vault)),
		})
	}
	return markdown([]string{
		"Mailu servers", "Mailu", "this host, verify: hash", "verify: none", "Vault", "**the run, verify: hash**", "**verify: none**",
	}, lines)
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

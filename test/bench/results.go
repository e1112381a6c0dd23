package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// results holds all results. bench/results.json stores the latest full-scale ones.
type results struct {
	Host     host   `json:"host"`
	Size     size   `json:"size"`
	Costs    costs  `json:"costs"`
	Rows     []row  `json:"rows"`
	Growth   curves `json:"growth"`
	Memory   []peak `json:"memory"`   // of scans
	Reported []peak `json:"reported"` // of emergency runs, which report on every tenant
	Profiles struct {
		Scan     string `json:"scan"`
		Rotation string `json:"rotation"`
	} `json:"profiles"`
}

// host is the machine on which the ratios were measured.
type host struct {
	Cores int     `json:"cores"`
	Go    string  `json:"go"`
	Vault string  `json:"vault"`
	Date  string  `json:"date"`
	Load  float64 `json:"load"` // average of the minute before the run, caused by other processes
}

// busy: the load of other processes makes the ratios worthless.
func (h host) busy() bool { return h.Load > float64(h.Cores)/2 }

// curves are the costs of sweeps over fleets of growing size.
type curves struct {
	Scan     []point `json:"scan"`
	Rotation []point `json:"rotation"`
}

func load(file string) (r results, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func (r results) save(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// mergeInto replaces the newly measured parts of the stored results.
func mergeInto(file string, found results) (results, error) {
	kept, err := load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return kept, err
	}
	for _, r := range found.Rows {
		i := slices.IndexFunc(kept.Rows, func(k row) bool { return k.Key == r.Key })
		if i < 0 {
			kept.Rows = append(kept.Rows, r)
			continue
		}
		kept.Rows[i] = r
	}
	sortRows(kept.Rows)
	if found.Costs != (costs{}) {
		kept.Costs = found.Costs
	}
	if found.Growth.Scan != nil {
		kept.Growth = found.Growth
	}
	if found.Memory != nil {
		kept.Memory, kept.Reported = found.Memory, found.Reported
	}
	if found.Profiles.Scan != "" {
		kept.Profiles = found.Profiles
	}
	kept.Host, kept.Size = found.Host, found.Size
	return kept, nil
}

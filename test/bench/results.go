package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// results is all that was found. bench/results.json keeps what was measured last,
// at full scale.
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

// host is what the ratios were taken on.
type host struct {
	Cores int     `json:"cores"`
	Go    string  `json:"go"`
	Vault string  `json:"vault"`
	Date  string  `json:"date"`
	Load  float64 `json:"load"` // average of the minute before the run: of others
}

// busy: others take enough of the machine to make ratios worthless.
func (h host) busy() bool { return h.Load > float64(h.Cores)/2 }

// curves are what sweeps over fleets of growing size cost.
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

// mergeInto replaces of the kept results what was measured anew.
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

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	repository string // root directory of the repository
	program    string
	vaultCLI   string
	scale      string
	only       []string
	write      bool
	check      bool
	long       bool
}

// bench is one run of the benchmark.
type bench struct {
	*stage
	size  size
	found results
	began time.Time
}

// part is a group of measurements on one set of servers.
type part struct {
	name    string
	measure func(*bench, context.Context) error
}

// parts are in the order in which Vault fills up.
func parts() []part {
	return []part{
		{"start", (*bench).startUp},
		{"idle", (*bench).idle},
		{"requests", (*bench).requests},
		{"scan", (*bench).scan},
		{"rotations", (*bench).rotations},
		{"emergency", (*bench).emergency},
		{"proof", (*bench).proof},
		{"cluster", (*bench).cluster},
		{"verification", (*bench).verification},
		{"script", (*bench).againstScript},
		{"slow", (*bench).slow},
		{"growth", (*bench).growth},
		{"memory", (*bench).memory},
		{"profile", (*bench).profile},
	}
}

func partNames() (names []string) {
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// errWorse: a check found ratios that are worse than the stored ones.
var errWorse = errors.New("worse than bench/results.json")

// run measures, prints, and stores or compares. Results are stored after each part: if
// one fails, the earlier parts need not be measured again.
func run(ctx context.Context, o options) error {
	if o.write && o.scale != "full" {
		return errors.New("-write: only what is measured at full scale is kept")
	}
	file := filepath.Join(o.repository, "test", "bench", "results.json")
	keep := func(results) error { return nil }
	if o.write {
		keep = func(found results) error { return keepIn(o.repository, file, found) }
	}
	found, err := measureAll(ctx, o, keep)
	if err != nil {
		return err
	}
	fmt.Println()
	if err := printTable(os.Stdout, found.Rows); err != nil {
		return err
	}
	for _, r := range found.Rows {
		if r.Note != "" {
			fmt.Printf("%s: %s\n", r.Key, r.Note)
		}
	}
	if o.check {
		return check(os.Stdout, file, found)
	}
	return nil
}

// keepIn merges the results so far into the stored results and the documents.
func keepIn(root, file string, found results) error {
	all, err := mergeInto(file, found)
	if err != nil {
		return err
	}
	if err := all.save(file); err != nil {
		return err
	}
	return render(root, all)
}

// measureAll measures the chosen parts. It calls keep after each part, with all results
// so far.
func measureAll(ctx context.Context, o options, keep func(results) error) (results, error) {
	chosen, err := choose(o)
	if err != nil {
		return results{}, err
	}
	size, err := sizeOf(o)
	if err != nil {
		return results{}, err
	}
	b := &bench{size: size, began: time.Now()}
	b.progress("starting a real Vault, in memory")
	if b.stage, err = setUp(ctx, o); err != nil {
		return results{}, err
	}
	defer b.tearDown()
	if b.found.Host, err = b.host(ctx); err != nil {
		return results{}, err
	}
	b.found.Size = size
	if b.found.Host.busy() {
		b.progress(fmt.Sprintf("others use this machine (load average %.1f): what follows says little", b.found.Host.Load))
	}
	for _, p := range chosen {
		b.progress(p.name)
		if err := b.inTime(ctx, p); err != nil {
			return results{}, fmt.Errorf("%s: %w", p.name, err)
		}
		sortRows(b.found.Rows)
		if err := keep(b.found); err != nil {
			return results{}, err
		}
	}
	return b.found, nil
}

// partDeadline ends a part that hangs: the longest takes half an hour.
const partDeadline = 2 * time.Hour

func (b *bench) inTime(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, partDeadline)
	defer cancel()
	return p.measure(b, ctx)
}

func choose(o options) ([]part, error) {
	all := parts()
	for _, name := range o.only {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("-only: no part %q: there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	return slices.DeleteFunc(all, func(p part) bool {
		if len(o.only) > 0 {
			return !slices.Contains(o.only, p.name)
		}
		return o.scale == "check" && (p.name == "growth" || p.name == "profile")
	}), nil
}

func (b *bench) add(r row) { b.found.Rows = append(b.found.Rows, r) }

func (b *bench) progress(what string) {
	fmt.Fprintf(os.Stderr, "%6s  %s\n", time.Since(b.began).Round(time.Second), what)
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary play the benchmark's roles.
func TestMain(m *testing.M) {
	if played, status := playRole(); played {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// Runs the whole benchmark on a few tenants: it must work, speed does not matter.
func TestEveryPartRunsAndEveryRowIsMeasured(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mailu-rotator")
	build := exec.Command("go", "build", "-o", program, "./cmd/mailu-rotator")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, output)
	}

	found, err := measureAll(t.Context(), options{repository: "../..", program: program, scale: "smoke"}, func(results) error { return nil })

	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range found.Rows {
		got = append(got, r.Key)
		// A small number of wake-ups per second may round to none.
		if r.Measured <= 0 && r.Tolerance != 1 || r.Target != 0 && r.Ratio <= 0 {
			t.Errorf("%s: measured %v, ratio %v", r.Key, r.Measured, r.Ratio)
		}
	}
	want := order()
	if confinable() != nil {
		want = slices.DeleteFunc(want, func(key string) bool { return strings.Contains(key, "cluster") })
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%v, want\n%v", got, want)
	}
	for _, r := range found.Rows {
		if strings.HasPrefix(r.Key, "requests-") && !r.met() { // does not depend on time
			t.Errorf("%s: %v requests a tenant", r.What, r.Measured)
		}
	}
	if len(found.Growth.Scan) != 2 || len(found.Growth.Rotation) != 2 || len(found.Memory) != 3 || len(found.Reported) != 1 {
		t.Errorf("growth of %d and %d sizes, memory of %d and %d: want 2, 2, 3 and 1", len(found.Growth.Scan), len(found.Growth.Rotation), len(found.Memory), len(found.Reported))
	}
	for _, p := range slices.Concat(found.Growth.Scan, found.Growth.Rotation) {
		if p.Seconds <= 0 || p.Requests < p.Tenants {
			t.Errorf("growth: %+v", p)
		}
	}
	root := t.TempDir()
	copyPage(t, root)
	if err := render(root, found); err != nil {
		t.Errorf("render: %v", err)
	}
	for name := range plots(found) {
		if _, err := os.Stat(filepath.Join(root, "docs", "images", name)); err != nil {
			t.Error(err)
		}
	}
}

func copyPage(t *testing.T, root string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/performance.md")
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "docs"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "docs", "performance.md"), page, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestThePageSaysWhatTheResultsSay(t *testing.T) {
	kept, err := load("results.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}

	want, err := fill(string(page), kept)

	if err != nil {
		t.Fatal(err)
	}
	if string(page) != want {
		t.Error("docs/performance.md was not written from test/bench/results.json: cd test/bench && go run . -render")
	}
}

package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyARatioThatIsWorseThanForgivenIsARegression(t *testing.T) {
	kept := []row{
		{Key: "scan", Ratio: 0.90, Target: 0.95, Tolerance: 0.15},
		{Key: "requests", Ratio: 1, Target: 1},
		{Key: "cpu", Ratio: 40, Target: 1, Tolerance: 1},
		{Key: "size"},
	}
	for name, c := range map[string]struct {
		found row
		worse bool
	}{
		"the same":                         {row{Key: "scan", Ratio: 0.90}, false},
		"better":                           {row{Key: "scan", Ratio: 3}, false},
		"worse by what is forgiven":        {row{Key: "scan", Ratio: 0.7651}, false},
		"worse by more":                    {row{Key: "scan", Ratio: 0.7649}, true},
		"exact and exact":                  {row{Key: "requests", Ratio: 1}, false},
		"a request more in a thousand":     {row{Key: "requests", Ratio: 0.999}, true},
		"far from the bound and then near": {row{Key: "cpu", Ratio: 1.01}, false},
		"beyond the bound":                 {row{Key: "cpu", Ratio: 0.99}, true},
		"nothing to compare":               {row{Key: "size", Measured: 99}, false},
		"not kept":                         {row{Key: "new", Ratio: 0.01}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := compare(kept, []row{c.found})

			if (len(got) > 0) != c.worse {
				t.Errorf("got %v, want a regression: %v", got, c.worse)
			}
		})
	}
}

func TestACheckSaysWhatIsWorseAndFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	kept := results{Rows: []row{{Key: "scan", What: "the scan", Ratio: 0.9, Target: 0.95, Tolerance: 0.15}}}
	if err := kept.save(file); err != nil {
		t.Fatal(err)
	}
	var good, bad bytes.Buffer

	goodErr := check(&good, file, results{Rows: []row{{Key: "scan", What: "the scan", Ratio: 0.88}}})
	badErr := check(&bad, file, results{Rows: []row{{Key: "scan", What: "the scan", Ratio: 0.5}}})

	if goodErr != nil {
		t.Errorf("a ratio within the tolerance: %v", goodErr)
	}
	if !errors.Is(badErr, errWorse) || !strings.Contains(bad.String(), "worse: the scan: the ratio is 0.500, was 0.900, and at least 0.765 is wanted") {
		t.Errorf("got %v and:\n%s", badErr, bad.String())
	}
}

func TestACheckWithoutKeptResultsFails(t *testing.T) {
	err := check(new(bytes.Buffer), filepath.Join(t.TempDir(), "results.json"), results{})

	if err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("got %v, want what to do", err)
	}
}

func TestMeasuringAPartAnewKeepsTheOthersInTheTablesOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	kept := results{Rows: []row{{Key: "scan", Ratio: 1}, {Key: "slow", Ratio: 2}}, Memory: []peak{{Tenants: 7}}}
	if err := kept.save(file); err != nil {
		t.Fatal(err)
	}

	merged, err := mergeInto(file, results{Rows: []row{{Key: "slow", Ratio: 3}, {Key: "script", Ratio: 4}}})

	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for _, r := range merged.Rows {
		got = append(got, r.Ratio)
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 4 || got[2] != 3 || len(merged.Memory) != 1 {
		t.Errorf("got ratios %v and %d fleets' memory", got, len(merged.Memory))
	}
}

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestARowSaysWhetherItsTargetIsMet(t *testing.T) {
	pairs := row{What: "scan", Against: "bare", Unit: "/s", Target: 0.95, Tolerance: 0.15}
	for name, c := range map[string]struct {
		row  row
		want []string
	}{
		"met": {
			pairs.compared(series{96, 97, 99}, series{100, 100, 100}, series{0.96, 0.97, 0.99}),
			[]string{"scan", "bare", "97.0 /s", "100 /s", "0.970 (0.960–0.990)", "≥ 0.950"},
		},
		"missed": {
			pairs.compared(series{12_345}, series{20_000}, series{0.617}),
			[]string{"scan", "bare", "12,345 /s", "20,000 /s", "0.617 (0.617–0.617)", "≥ 0.950, missed"},
		},
		"within a bound":     {row{Unit: "MB", Tolerance: 1}.bounded(50, 150), []string{"", "", "50.0 MB", "", "3.00", "≤ 150 MB"}},
		"beyond a bound":     {row{Unit: "MB", Tolerance: 1}.bounded(300, 150), []string{"", "", "300 MB", "", "0.500", "≤ 150 MB, missed"}},
		"far within a bound": {row{Unit: "%", Tolerance: 1}.bounded(0, 0.1), []string{"", "", "0 %", "", "1,000", "≤ 0.100 %"}},
		"exact": {
			row{Unit: "requests", Measured: 3.01, Baseline: 3, Ratio: 3 / 3.01, Target: 1},
			[]string{"", "", "3.01 requests", "3.00 requests", "0.997", "exactly, missed"},
		},
		"told only": {row{Unit: "MB", Measured: 21.2}, []string{"", "", "21.2 MB", "", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.row.cells(); !slices.Equal(got, c.want) {
				t.Errorf("got\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestTheMedianIsNotTheMean(t *testing.T) {
	for _, c := range []struct {
		of   series
		want float64
	}{{series{9, 1, 2}, 2}, {series{9, 1, 2, 4}, 3}, {series{7}, 7}} {
		if got := c.of.median(); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.of, got, c.want)
		}
	}
}

func TestRequestsAreCountedOnceAndUnderTheirPrefixAlone(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	lines := `{"type":"request","request":{"path":"vault/data/smtp/a/admin"}}
{"type":"response","request":{"path":"vault/data/smtp/a/admin"}}
{"type":"request","request":{"path":"vault/data/smtp-2/a/admin"}}
{"type":"request","request":{"path":"vault/metadata/smtp"}}
{"type":"request","request":{"path":"auth/token/lookup-self"}}
`
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}

	got, err := countAudit(log, "smtp")

	if err != nil || got != (counted{records: 1, lists: 1, others: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestUsageIsWhatTheKernelCounts(t *testing.T) {
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}

	got, err := usageOf(os.Getpid())

	runtime.KeepAlive(ballast)
	if err != nil || got.peak < 64<<20/mb || got.cpu <= 0 || got.wakeups == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAMillionOnPaper(t *testing.T) {
	r := results{
		Host:  host{Cores: 2},
		Costs: costs{Derivation: 20 * time.Millisecond, Bcrypt: 280 * time.Millisecond, Vault: 1000},
	}

	got := r.estimate()

	want := "| Mailu servers | verify: hash | verify: none |\n" +
		"| --- | --- | --- |\n" +
		"| 1 | 41.7 h (Mailu) | 41.7 h (Mailu) |\n" +
		"| 10 | 41.7 h (this host) | 4.17 h (Mailu) |\n" +
		"| 100 | 41.7 h (this host) | 2.78 h (this host) |"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// renderAnew writes the documents from the stored results.
func renderAnew(root string) error {
	r, err := load(filepath.Join(root, "test", "bench", "results.json"))
	if err != nil {
		return err
	}
	return render(root, r)
}

// render writes the results between the markers of docs/performance.md, and its plots.
// Both depend only on the results.
func render(root string, r results) error {
	file := filepath.Join(root, "docs", "performance.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := fill(string(page), r)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	for name, p := range plots(r) {
		if err := p.save(filepath.Join(root, "docs", "images", name)); err != nil {
			return err
		}
	}
	return nil
}

// fill replaces all generated parts of a page.
func fill(page string, r results) (string, error) {
	for _, section := range []struct{ name, text string }{
		{"host", r.hostLine()},
		{"table", r.table()},
		{"notes", r.notes()},
		{"growth", r.growthLine()},
		{"memory", r.memoryLine()},
		{"costs", r.costsLine()},
		{"estimate", r.estimate()},
	} {
		begin, end := "<!-- bench:"+section.name+" -->\n", "<!-- /bench:"+section.name+" -->"
		before, rest, found := strings.Cut(page, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return "", fmt.Errorf("no place for %s: want %q and %q", section.name, strings.TrimSpace(begin), end)
		}
		page = before + begin + section.text + "\n" + end + after
	}
	return page, nil
}

func (r results) hostLine() string {
	text := fmt.Sprintf("Taken on %s with %d cores, %s, Vault %s, storage in memory; "+
		"medians of %d, the ratios' range in brackets.", r.Host.Date, r.Host.Cores, r.Host.Go, r.Host.Vault, r.Size.Repetitions)
	if r.Host.busy() {
		text += fmt.Sprintf(" **Others used the machine (load average %.1f), so the figures are provisional.**", r.Host.Load)
	}
	return text
}

func (r results) table() string {
	return markdown(headings, cellsOf(r.Rows))
}

// notes explains rows. Two rows with the same note have one.
func (r results) notes() string {
	var all []string
	for i, line := range r.Rows {
		same := func(other row) bool { return other.Note == line.Note }
		if line.Note != "" && !slices.ContainsFunc(r.Rows[:i], same) {
			what, _, _ := strings.Cut(line.What, ",")
			what, _, _ = strings.Cut(what, ":")
			all = append(all, fmt.Sprintf("- %s: %s.", what, line.Note))
		}
	}
	return strings.Join(all, "\n")
}

// growthLine has the ends of the curves; the plots have the rest.
func (r results) growthLine() string {
	line := func(kind string, p point) string {
		return fmt.Sprintf("%s of %s tenants takes %s s (%s tenants/s)", kind, count(p.Tenants), figure(p.Seconds), figure(float64(p.Tenants)/p.Seconds))
	}
	scan, rotation := r.Growth.Scan, r.Growth.Rotation
	if len(scan) == 0 || len(rotation) == 0 {
		return ""
	}
	return line("A scan", scan[len(scan)-1]) + "; " + line("a rotation", rotation[len(rotation)-1]) + ", if Mailu costs nothing."
}

// memoryLine has the peaks that the plot, which is about scans, does not show.
func (r results) memoryLine() string {
	if len(r.Reported) == 0 {
		return ""
	}
	var all []string
	for _, p := range r.Reported {
		all = append(all, fmt.Sprintf("%s MB with %s tenants", figure(p.MB), count(p.Tenants)))
	}
	return "An emergency run needs " + strings.Join(all, ", ") + "."
}

func (r results) costsLine() string {
	return fmt.Sprintf("With all cores busy a key derivation takes %s and a bcrypt of 12 rounds %s on one of them.",
		r.Costs.Derivation.Round(100*time.Microsecond), r.Costs.Bcrypt.Round(time.Millisecond))
}

func markdown(head []string, lines [][]string) string {
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	var text strings.Builder
	for _, cells := range append([][]string{head, rule}, lines...) {
		fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | "))
	}
	return strings.TrimRight(text.String(), "\n")
}

func count(n int) string { return thousands(strconv.Itoa(n)) }

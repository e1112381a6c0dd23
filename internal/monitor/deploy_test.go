package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// Files deployed with the program, relative to this package.
const (
	alertsFile    = "../../deploy/prometheus/alerts.yaml"
	alertTests    = "../../deploy/prometheus/alerts_test.yaml"
	dashboardFile = "../../deploy/grafana/dashboard.json"
)

func TestAlertRulesAreValid(t *testing.T) { promtool(t, "check", "rules", alertsFile) }

func TestAlertsFireWhenTheyShould(t *testing.T) { promtool(t, "test", "rules", alertTests) }

func TestEveryAlertSaysWhatToDoAndIsTested(t *testing.T) {
	tests := string(readFile(t, alertTests))
	runbooks := anchors(t, "../../docs/operations.md")

	for _, rule := range alerts(t) {
		for _, annotation := range []string{"summary", "description", "runbook_url"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", rule.Alert, annotation)
			}
		}
		anchor, found := strings.CutPrefix(rule.Annotations["runbook_url"], "https://docs.example.com/mailu-rotator/operations.md#")
		if !found || !slices.Contains(runbooks, anchor) {
			t.Errorf("the runbook of %s is %s, which is not there", rule.Alert, rule.Annotations["runbook_url"])
		}
		if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("the severity of %s is %q", rule.Alert, severity)
		}
		for _, kind := range []string{"exp_alerts:\n", "exp_alerts: []\n"} {
			if !strings.Contains(tests, "alertname: "+rule.Alert+"\n        "+kind) {
				t.Errorf("%s is not tested with %s", rule.Alert, strings.TrimSpace(kind))
			}
		}
	}
}

// anchors returns the anchors of second-level headings.
func anchors(t *testing.T, file string) (all []string) {
	t.Helper()
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllSubmatch(readFile(t, file), -1) {
		words := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(string(heading[1])), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// A panel whose metric was renamed shows nothing, and its alert never fires.
func TestAlertsAndDashboardAskForWhatThereIs(t *testing.T) {
	known := everything(t).vocabulary(t)
	var asked []string
	for _, rule := range alerts(t) {
		asked = append(asked, rule.Expr)
	}
	asked = append(asked, dashboardQueries(t)...)

	selector := regexp.MustCompile(`(mailu_rotator_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`([a-z]+)(=~|!=|!~|=)"([^"]*)"`)
	for _, query := range asked {
		for _, found := range selector.FindAllStringSubmatch(query, -1) {
			labels, exists := known[found[1]]
			if !exists {
				t.Errorf("there is no %s, which is asked for in %s", found[1], query)
				continue
			}
			for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
				checkMatcher(t, query, labels, m[1], m[2], m[3])
			}
		}
	}
}

func checkMatcher(t *testing.T, query string, labels map[string][]string, label, operator, value string) {
	t.Helper()
	if label == "instance" || label == "job" {
		return // a metric of Prometheus itself
	}
	values, exists := labels[label]
	if !exists {
		t.Errorf("there is no label %s in %s", label, query)
		return
	}
	wanted := []string{value}
	if operator == "=~" || operator == "!~" {
		wanted = strings.Split(value, "|")
	}
	for _, one := range wanted {
		if !slices.Contains(values, one) {
			t.Errorf("%s is never %q, in %s", label, one, query)
		}
	}
}

// promtool checks the query language: each query of the dashboard becomes a rule.
func TestDashboardQueriesAreValid(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, query := range dashboardQueries(t) {
		query = strings.ReplaceAll(strings.ReplaceAll(query, "$__rate_interval", "5m"), "$instance", ".*")
		fmt.Fprintf(&rules, "      - record: panel:query%d\n        expr: %q\n", i, query)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	promtool(t, "check", "rules", file)
}

// promtool runs what scripts/tools.sh finds or fetches.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	find := exec.CommandContext(t.Context(), "../../scripts/tools.sh", "promtool")
	find.Stderr = t.Output()
	path, err := find.Output()
	if err != nil {
		t.Fatalf("find promtool: %v", err)
	}
	output, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// vocabulary maps each metric name, including _bucket, _sum and _count of histograms,
// to its labels and their values.
func (w *watched) vocabulary(t *testing.T) map[string]map[string][]string {
	t.Helper()
	known := map[string]map[string][]string{}
	for name, family := range w.gather(t) {
		labels := map[string][]string{}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = append(labels[label.GetName()], label.GetValue())
			}
		}
		if family.GetMetric()[0].GetHistogram() == nil {
			known[name] = labels
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			known[name+suffix] = labels
		}
	}
	return known
}

type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alert }
	}
	if err := yaml.Unmarshal(readFile(t, alertsFile), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) == 0 {
		t.Fatalf("no rules in %s", alertsFile)
	}
	return file.Groups[0].Rules
}

func dashboardQueries(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(readFile(t, dashboardFile), &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.Title == "" || panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %d, %q, is there twice, has no title, or asks nothing", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			all = append(all, target.Expr)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d queries in %s", len(all), dashboardFile)
	}
	return all
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

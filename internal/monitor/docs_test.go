package monitor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const metricsDoc = "../../docs/metrics.md"

func TestEveryMetricIsDocumentedAsItIs(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `(mailu_rotator_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) ?\\| [^|]+ \\|$")
	documented := map[string]string{}
	for _, found := range row.FindAllStringSubmatch(string(readFile(t, metricsDoc)), -1) {
		labels := strings.Split(strings.TrimSpace(found[3]), ", ")
		slices.Sort(labels)
		documented[found[1]] = fmt.Sprintf("%s of %s", found[2], strings.Join(labels, ", "))
	}
	there := map[string]string{}
	for name, family := range everything(t).gather(t) {
		if strings.HasPrefix(name, namespace) {
			there[name] = fmt.Sprintf("%s of %s", strings.ToLower(family.GetType().String()), strings.Join(labelNames(family), ", "))
		}
	}

	for _, name := range slices.Sorted(maps.Keys(there)) {
		if documented[name] != there[name] {
			t.Errorf("%s has %s as %q, it is %q", metricsDoc, name, documented[name], there[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s has %s, which there is not", metricsDoc, name)
	}
}

func labelNames(family *dto.MetricFamily) (names []string) {
	for _, label := range family.GetMetric()[0].GetLabel() {
		names = append(names, label.GetName())
	}
	slices.Sort(names)
	return names
}

func TestEveryValueOfALabelIsDocumented(t *testing.T) {
	page := string(readFile(t, metricsDoc))

	for name, labels := range everything(t).vocabulary(t) {
		if !strings.HasPrefix(name, namespace) {
			continue
		}
		for _, label := range []string{"state", "task", "result", "class", "step"} {
			for _, value := range labels[label] {
				if !strings.Contains(page, "`"+value+"`") {
					t.Errorf("%s does not have the %s %q of %s", metricsDoc, label, value, name)
				}
			}
		}
	}
}

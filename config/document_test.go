package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestReferenceNamesEveryKeyAndDefault(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\| [^|]+ \\| ([^|]+) \\| [^|]+ \\| [^|]+ \\|$")
	var want, got []string
	for key, value := range defaults() {
		want = append(want, fmt.Sprintf("%s = %s", key, short(value)))
	}
	for _, match := range row.FindAllStringSubmatch(string(readTestFile(t, "../docs/configuration.md")), -1) {
		value := strings.TrimSpace(match[2])
		if quoted, isCode := strings.CutPrefix(value, "`"); isCode {
			value = strings.TrimSuffix(quoted, "`")
		} else {
			value = "" // prose: required, or what it follows from
		}
		got = append(got, fmt.Sprintf("%s = %s", match[1], value))
	}

	if !slices.Equal(got, want) {
		t.Errorf("docs/configuration.md has\n%s\nthe struct has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// short writes a duration as people do: 6h, not 6h0m0s.
func short(value string) string {
	if strings.HasSuffix(value, "m0s") {
		value = strings.TrimSuffix(value, "0s")
	}
	if strings.HasSuffix(value, "h0m") {
		value = strings.TrimSuffix(value, "0m")
	}
	return value
}

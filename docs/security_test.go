package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page claims that tests show what it says: they have to be there.
func TestEveryTestThatTheThreatModelNamesExists(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([\\w./-]+_test\\.go):(\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 50 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, found := range named {
		source, err := os.ReadFile(filepath.Join("..", found[1]))
		if err != nil || !strings.Contains(string(source), "\nfunc "+found[2]+"(") {
			t.Errorf("%s has no %s (%v)", found[1], found[2], err)
		}
	}
	for _, script := range regexp.MustCompile("`(cmd/[\\w./-]+\\.txt)`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("..", script[1])); err != nil {
			t.Error(err)
		}
	}
}

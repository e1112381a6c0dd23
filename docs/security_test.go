package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page names tests as evidence: they must exist.
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

// The page claims to list all fuzz targets: the lists must be equal.
func TestTheThreatModelListsEveryFuzzTarget(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, name := range regexp.MustCompile("`(Fuzz\\w+)`").FindAllStringSubmatch(string(page), -1) {
		listed[name[1]] = true
	}
	for _, name := range fuzzTargets(t) {
		if !listed[name] {
			t.Errorf("%s is not listed", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is listed, and there is none", name)
	}
}

func fuzzTargets(t *testing.T) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	project := os.DirFS("..")
	err := fs.WalkDir(project, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(project, path)
		for _, found := range declared.FindAllStringSubmatch(string(source), -1) {
			names = append(names, found[1])
		}
		return err
	})
	if err != nil || len(names) < 30 {
		t.Fatalf("found %d targets, %v", len(names), err)
	}
	return names
}

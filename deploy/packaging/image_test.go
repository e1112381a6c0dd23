package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// No container engine runs here, so the test checks what it can without one: the image
// contains only what was built, its user can read it, and it does not run as root.
func imageTakesWhatWasMade(t *testing.T, r release) {
	definition := string(readFile(t, filepath.Join(r.tree, "deploy", "container", "Containerfile")))
	seen := strings.Fields(string(readFile(t, filepath.Join(r.tree, ".dockerignore"))))

	copies := regexp.MustCompile(`(?m)^COPY (.+) \S+$`).FindAllStringSubmatch(definition, -1)
	if len(copies) == 0 {
		t.Error("nothing is copied into the image")
	}
	for _, found := range copies {
		for _, source := range strings.Fields(strings.ReplaceAll(found[1], "${TARGETARCH}", machine)) {
			if _, err := os.Stat(filepath.Join(r.tree, source)); err != nil {
				t.Errorf("COPY: %v", err)
			}
			if !matchesAny(seen, source) {
				t.Errorf("%s is hidden by .dockerignore", source)
			}
		}
	}
	if !regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`).MatchString(definition) {
		t.Error("the image's user is no number, or root")
	}
}

func matchesAny(exceptions []string, path string) bool {
	for _, pattern := range exceptions {
		if matches, err := filepath.Match(strings.TrimPrefix(pattern, "!"), path); err == nil && matches && pattern != "*" {
			return true
		}
	}
	return false
}

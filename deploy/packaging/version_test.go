package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Uses git's real output for a history, and the real comparison of dpkg and rpm.
func TestVersionsOfPackagesSortAsTheCommitsWereMade(t *testing.T) {
	output(t, "../..", nil, "scripts/tools.sh", "package-readers")
	tree := t.TempDir()
	before := "0~"

	for i, step := range []struct{ tag, want string }{
		{"", `0~git20261123120000\.[0-9a-f]{7,}`},
		{"", `0~git20261123120001\.[0-9a-f]{7,}`},
		{"v0.1.0-rc.1", `0\.1\.0~rc\.1`},
		{"", `0\.1\.0~rc\.1\+1\.g[0-9a-f]{7,}`},
		{"v0.1.0", `0\.1\.0`},
		{"", `0\.1\.0\+1\.g[0-9a-f]{7,}`},
		{"dirty", `0\.1\.0\+1\.g[0-9a-f]{7,}\+dirty`},
		{"v0.1.1", `0\.1\.1`},
	} {
		if err := os.WriteFile(filepath.Join(tree, "file"), fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if step.tag != "dirty" {
			commitAll(t, tree, step.tag)
		}
		described := strings.TrimSpace(output(t, tree, nil, "git", "describe", "--tags", "--always", "--dirty"))
		epoch := committed.Add(time.Duration(i) * time.Second).Unix()

		got := strings.TrimSpace(output(t, "", nil, "./version.sh", described, fmt.Sprint(epoch)))

		if !regexp.MustCompile("^" + step.want + "$").MatchString(got) {
			t.Errorf("%s: got %s, want %s", described, got, step.want)
		}
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", got).Run(); err != nil {
			t.Errorf("dpkg should sort %s before %s: %v", before, got, err)
		}
		if order := output(t, "", nil, "rpm", "--eval", `%{lua:print(rpm.vercmp("`+before+`", "`+got+`"))}`); order != "-1\n" {
			t.Errorf("rpm should sort %s before %s: %s", before, got, order)
		}
		before = got
	}
}

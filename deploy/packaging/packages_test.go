// Package packaging tests the output of make package. The tests build it twice, and
// read it with dpkg-deb, rpm and Go's own readers.
package packaging

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// committed is the date of the sources in these tests, and so of all files in a
// package.
var committed = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// machine is the architecture of the packages built here: one is enough for the tests.
const machine = runtime.GOARCH

// release is one run of make package.
type release struct {
	tree   string // the tree in which it was built
	commit string
}

// path returns the only built file whose name has this suffix.
func (r release) path(t *testing.T, suffix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.tree, "dist", "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("there should be one *%s: %v, %v", suffix, found, err)
	}
	return found[0]
}

// work returns the path of a package's part.
func (r release) work(name string) string {
	return filepath.Join(r.tree, "bin", "package", machine, name)
}

func TestPackages(t *testing.T) {
	output(t, "../..", nil, "scripts/tools.sh", "package-readers")
	here := releaseOfCheckout(t)
	there := releaseOfExport(t, here.commit)

	t.Run("AreTheSameBytesTwice", func(t *testing.T) { sameBytes(t, here, there) })
	t.Run("Checksums", func(t *testing.T) { checksumsAreTrue(t, here) })
	t.Run("Program", func(t *testing.T) { programIsStaticAndStamped(t, here) })
	t.Run("Bill", func(t *testing.T) { billNamesAllThatIsLinked(t, here) })
	t.Run("Tar", func(t *testing.T) { tarIsInOrder(t, here) })
	t.Run("Deb", func(t *testing.T) { debIsInOrder(t, here) })
	t.Run("Rpm", func(t *testing.T) { rpmIsInOrder(t, here) })
	t.Run("Image", func(t *testing.T) { imageTakesWhatWasMade(t, here) })
}

// releaseOfCheckout builds in a git checkout, with Go told to record the commit.
func releaseOfCheckout(t *testing.T) release {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "checkout")
	copyTree(t, tree, 0o644)
	commit := commitAll(t, tree, "v1.2.3")

	output(t, tree, []string{"GOFLAGS=-buildvcs=true", "TZ=UTC", "ARCHES=" + machine}, "sh", "-c", "umask 022; make -s package")
	return release{tree, commit}
}

// releaseOfExport builds the same sources under conditions as different as possible: no
// git, other dates and modes of the files, umask, time zone, language.
func releaseOfExport(t *testing.T, commit string) release {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "a", "longer", "path", "export")
	copyTree(t, tree, 0o600)

	output(t, tree, []string{
		"VERSION=v1.2.3", "COMMIT=" + commit, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", committed.Unix()),
		"GOFLAGS=-buildvcs=false", "TZ=Pacific/Auckland", "LC_ALL=C.UTF-8", "ARCHES=" + machine,
	}, "sh", "-c", "umask 077; make -s package")
	return release{tree, commit}
}

// copyTree copies the current sources, committed or not. Reading them here also
// invalidates go test's cached result when they change.
func copyTree(t *testing.T, to string, mode fs.FileMode) {
	t.Helper()
	source := os.DirFS("../..")
	err := fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{".git", "bin", "dist"}, path):
			return skip(entry)
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), content, mode|info.Mode()&0o100)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// skip excludes a directory, or a worktree's .git file.
func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// commitAll makes a repository of the tree and returns its only commit.
func commitAll(t *testing.T, tree, tag string) string {
	t.Helper()
	git := func(args ...string) string {
		return output(t, tree, nil, "git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.org"}, args...)...)
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-qm", "All")
	if tag != "" {
		git("tag", tag)
	}
	return strings.TrimSpace(git("rev-parse", "HEAD"))
}

// output returns what a program prints. The program gets no environment variable that
// would affect the build.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	var errors strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	date := committed.Format(time.RFC3339)
	cmd.Dir, cmd.Stderr = dir, &errors
	cmd.Env = append(slices.DeleteFunc(os.Environ(), decides),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errors.String())
	}
	return string(out)
}

func decides(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "MAKE") || strings.HasPrefix(name, "GIT_") || slices.Contains([]string{
		"MFLAGS", "VERSION", "COMMIT", "SOURCE_DATE_EPOCH", "OUT", "DIST", "DESTDIR", "PREFIX", "ARCHES", "MAINTAINER", "GOOS", "GOARCH", "GOFLAGS",
	}, name)
}

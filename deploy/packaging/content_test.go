package packaging

import (
	"archive/tar"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func sameBytes(t *testing.T, here, there release) {
	first, second := sums(t, here), sums(t, there)

	for name, sum := range first {
		if second[name] != sum {
			t.Errorf("%s differs from build to build", name)
		}
	}
	if len(first) != len(second) || len(first) != 4 {
		t.Errorf("made are %v and %v", slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(second)))
	}
}

// sums are the SHA-256 of the built files, by name.
func sums(t *testing.T, r release) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.tree, "dist", "mailu-rotator*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		all[filepath.Base(file)] = fmt.Sprintf("%x", sha256.Sum256(readFile(t, file)))
	}
	return all
}

func checksumsAreTrue(t *testing.T, r release) {
	listed := map[string]string{}
	for line := range strings.Lines(string(readFile(t, r.path(t, "SHA256SUMS")))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = sum
	}

	if made := sums(t, r); !maps.Equal(listed, made) {
		t.Errorf("listed %v, made %v", listed, made)
	}
}

func programIsStaticAndStamped(t *testing.T, r release) {
	program := r.work("mailu-rotator")

	image, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for _, segment := range image.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a segment %s: it is not static", program, segment.Type)
		}
	}
	if strings.Contains(string(readFile(t, program)), r.tree) {
		t.Error("the program has the directory in it in which it was made")
	}
	want := "mailu-rotator v1.2.3 (commit " + r.commit + " of 2026-11-23T12:00:00Z, go"
	if got := output(t, "", nil, program, "version"); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func billNamesAllThatIsLinked(t *testing.T, r release) {
	var bill struct {
		BOMFormat string
		Metadata  struct {
			Component  struct{ Name, Version string }
			Properties []struct{ Name, Value string }
		}
		Components []struct {
			Name, Version string
			Evidence      struct{ Licenses []any }
		}
	}
	if err := json.Unmarshal(readFile(t, r.path(t, ".cdx.json")), &bill); err != nil {
		t.Fatal(err)
	}
	program := r.work("mailu-rotator")
	linked, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std " + linked.GoVersion}
	for _, module := range linked.Deps {
		want = append(want, module.Path+" "+module.Version)
	}

	var got []string
	for _, c := range bill.Components {
		got = append(got, c.Name+" "+c.Version)
		if len(c.Evidence.Licenses) == 0 && c.Name != "std" {
			t.Errorf("%s has no licence", c.Name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if main := bill.Metadata.Component; bill.BOMFormat != "CycloneDX" || main.Name != "mailu-rotator" || main.Version != "1.2.3" {
		t.Errorf("a bill in %s, of %v", bill.BOMFormat, main)
	}
	sum := struct{ Name, Value string }{"cdx:gomod:binary:hash:SHA-256", fmt.Sprintf("%x", sha256.Sum256(readFile(t, program)))}
	if !slices.Contains(bill.Metadata.Properties, sum) {
		t.Error("the bill is of another program")
	}
}

func tarIsInOrder(t *testing.T, r release) {
	const top = "mailu-rotator-1.2.3-linux-" + machine + "/"
	entries := members(t, "gzip", "-dc", r.path(t, ".tar.gz"))

	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name, top))
		if !strings.HasPrefix(e.Name, top) {
			t.Errorf("%s is not below %s", e.Name, top)
		}
	}
	if !slices.IsSorted(names) {
		t.Error("the names are not sorted")
	}
	for _, name := range []string{"bin/mailu-rotator", "lib/systemd/system/mailu-rotator.service", "share/man/man8/mailu-rotator.8",
		"share/doc/mailu-rotator/LICENSE", "share/doc/mailu-rotator/THIRD_PARTY_LICENSES", "share/doc/mailu-rotator/config.yaml"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not in it", name)
		}
	}
}

// members returns the entries of the tar that a program prints, and checks them: all
// are root's, have the date of the sources, and are neither writable by others nor
// setuid.
func members(t *testing.T, name string, args ...string) (entries []*tar.Header) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	stream, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(strings.NewReader(string(stream))); ; {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
		if entry.Uid != 0 || entry.Gid != 0 || entry.Uname != "root" || entry.Gname != "root" {
			t.Errorf("%s belongs to %s:%s", entry.Name, entry.Uname, entry.Gname)
		}
		if entry.Mode&0o7022 != 0 {
			t.Errorf("%s has mode %04o", entry.Name, entry.Mode)
		}
		if !entry.ModTime.Equal(committed) {
			t.Errorf("%s is of %s", entry.Name, entry.ModTime.UTC().Format(time.RFC3339))
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

package config

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLinksAreFollowedAsTheKernelDoes(t *testing.T) {
	dir := t.TempDir()
	mustDo(t, os.MkdirAll(filepath.Join(dir, "..data_1/deep"), 0o755))
	writeFile(t, filepath.Join(dir, "..data_1"), "token", "s3cret", 0o600)
	for name, target := range map[string]string{
		"..data":   "..data_1", // as Kubernetes mounts a secret
		"token":    "..data/token",
		"absolute": filepath.Join(dir, "token"),
		"up":       "..data_1/deep/../../..data/token",
		"slashes":  "..data_1//.///token",
	} {
		mustDo(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	t.Chdir(filepath.Join(dir, "..data_1"))

	for _, path := range []string{dir + "/token", dir + "/absolute", dir + "/up", dir + "/slashes", dir + "//..data/./token", "token", "./deep/../token", "../token"} {
		if secret, err := ReadSecret(path); err != nil || secret.RevealString() != "s3cret" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLinksThatLeadNowhereAreErrors(t *testing.T) {
	dir := t.TempDir()
	mustDo(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	mustDo(t, os.Symlink("none", filepath.Join(dir, "dangling")))
	writeFile(t, dir, "file", "s3cret", 0o600)

	for name, want := range map[string]error{
		"loop": syscall.ELOOP, "dangling": fs.ErrNotExist, "file/token": syscall.ENOTDIR,
	} {
		if _, err := ReadSecret(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if _, err := ReadSecret(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no path: %v", err)
	}
}

func TestLinksOfStrangersAreNotFollowed(t *testing.T) {
	const stranger, agent = 65_001, 65_002
	us := uint32(os.Geteuid())
	tests := []struct {
		name     string
		links    []uint32 // their owners
		file     uint32   // its owner
		followed bool
	}{
		{"no link at all", nil, agent, true},
		{"root's", []uint32{0, 0}, us, true},
		{"ours, to an agent's secret", []uint32{us}, agent, true},
		{"an agent's, to its own secret", []uint32{0, agent}, agent, true},
		{"a stranger's, to our secret", []uint32{stranger}, us, false},
		{"a stranger's, to an agent's secret", []uint32{stranger}, agent, false},
		{"a stranger's on the way", []uint32{0, stranger, us}, us, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var links []link
			for _, owner := range test.links {
				links = append(links, link{path: "/run/agent/token", owner: owner})
			}

			err := checkOwners(links, test.file)

			if test.followed != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "/run/agent/token is a symbolic link made by user 65001") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEveryLinkOnTheWayIsAskedForItsOwner(t *testing.T) {
	dir := t.TempDir()
	mustDo(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	writeFile(t, filepath.Join(dir, "real"), "file", "s3cret", 0o600)
	mustDo(t, os.Symlink("real", filepath.Join(dir, "dir")))
	mustDo(t, os.Symlink(filepath.Join(dir, "dir", "file"), filepath.Join(dir, "link")))

	o := secureOpen{dir: unix.AT_FDCWD}
	file, err := o.to(filepath.Join(dir, "link"))
	mustDo(t, err)
	mustDo(t, file.Close())
	o.leave()

	us := uint32(os.Geteuid())
	want := []link{{filepath.Join(dir, "link"), us}, {filepath.Join(dir, "dir"), us}}
	if got := o.links[max(len(o.links)-2, 0):]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v at its end", o.links, want)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckAccessSaysNothingOfAccessControlLists(t *testing.T) {
	dir, path, config := accessible(t)
	mustDo(t, os.Chmod(path, 0o600))
	list := []byte{2, 0, 0, 0} // as setfacl -m u:987654:r writes it, see linux/posix_acl_xattr.h
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, 1<<32 - 1}, {0x02, 4, stranger().UID}, {0x04, 0, 1<<32 - 1}, {0x10, 4, 1<<32 - 1}, {0x20, 0, 1<<32 - 1}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.perm)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	mustDo(t, unix.Setxattr(path, "system.posix_acl_access", list, 0)) // ENOTSUP: set TMPDIR to a file system with lists, such as /dev/shm

	if errs, _ := config.CheckAccess(path, environment{}.get, stranger()); len(errs) > 0 {
		t.Errorf("got %v, in %s", errs, dir)
	}
}

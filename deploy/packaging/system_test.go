package packaging

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// around are the files of a package except those of make install, with their modes.
var around = []string{
	"-rw-r--r-- /etc/mailu-rotator/config.yaml",
	"-rw-r--r-- /usr/lib/systemd/system-preset/50-mailu-rotator.preset",
}

func debIsInOrder(t *testing.T, r release) {
	deb := r.path(t, "_1.2.3-1_"+machine+".deb")
	entries := members(t, "dpkg-deb", "--fsys-tarfile", deb)

	var got []string
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name, ".")
		switch info := e.FileInfo(); {
		case !info.IsDir():
			got = append(got, info.Mode().String()+" "+name)
		case name == "/etc/mailu-rotator/credentials/" && e.Mode != 0o700, name == "/etc/mailu-rotator/" && e.Mode != 0o755:
			t.Errorf("%s has mode %04o", name, e.Mode)
		}
	}
	want := append(staged(t, r), append(around,
		"-rw-r--r-- /usr/share/doc/mailu-rotator/changelog.Debian.gz", "-rw-r--r-- /usr/share/doc/mailu-rotator/copyright")...)
	sameFiles(t, got, want)
	for field, want := range map[string]string{
		"Package": "mailu-rotator", "Version": "1.2.3-1", "Architecture": machine, "Depends": "", "Recommends": "ca-certificates, default-dbus-system-bus | dbus-system-bus",
	} {
		if got := strings.TrimSpace(output(t, "", nil, "dpkg-deb", "--field", deb, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	control := t.TempDir()
	output(t, "", nil, "dpkg-deb", "--control", deb, control)
	if got := string(readFile(t, filepath.Join(control, "conffiles"))); got != "/etc/mailu-rotator/config.yaml\n" {
		t.Errorf("the configuration files are %q", got)
	}
	for script, source := range map[string]string{"postinst": "postinstall.sh", "prerm": "preremove.sh", "postrm": "postremove.sh"} {
		if string(readFile(t, filepath.Join(control, script))) != string(readFile(t, source)) {
			t.Errorf("%s is not %s", script, source)
		}
	}
}

func rpmIsInOrder(t *testing.T, r release) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[machine]
	rpm := r.path(t, "-1.2.3-1."+arch+".rpm")
	query := func(format string) string { return output(t, "", nil, "rpm", "-qp", "--queryformat", format, rpm) }

	var got []string
	for line := range strings.Lines(query(`[%{FILEMODES:perms} %{FILENAMES}\n]`)) {
		if !strings.HasPrefix(line, "d") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	sameFiles(t, got, append(staged(t, r), around...))
	for what, c := range map[string]struct{ format, want string }{
		"marked files":  {`[%{FILEFLAGS:fflags}%{FILENAMES}|]`, "cn/etc/mailu-rotator/config.yaml"},
		"directories":   {`[%{FILEMODES:perms}%{FILENAMES}|]`, "drwx------/etc/mailu-rotator/credentials|"},
		"owners":        {`[%{FILEUSERNAME}:%{FILEGROUPNAME}|]`, strings.Repeat("root:root|", strings.Count(query(`[%{FILENAMES}|]`), "|"))},
		"dates":         {`[%{FILEMTIMES}|]`, strings.Repeat(fmt.Sprintf("%d|", committed.Unix()), strings.Count(query(`[%{FILENAMES}|]`), "|"))},
		"date and host": {`%{BUILDTIME} %{BUILDHOST}`, fmt.Sprintf("%d localhost", committed.Unix())},
		"name":          {`%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH} %{LICENSE}`, "mailu-rotator-1.2.3-1." + arch + " MPL-2.0"},
		"postinstall":   {`%{POSTIN}`, string(readFile(t, "postinstall.sh"))},
		"preremove":     {`%{PREUN}`, string(readFile(t, "preremove.sh"))},
		"postremove":    {`%{POSTUN}`, string(readFile(t, "postremove.sh"))},
	} {
		if got := query(c.format); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

// staged are the files that make install has put into a stage, with their modes.
func staged(t *testing.T, r release) (files []string) {
	t.Helper()
	stage := r.work("root")
	err := fs.WalkDir(os.DirFS(stage), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files = append(files, info.Mode().String()+" /"+path)
		return nil
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("staged are %v: %v", files, err)
	}
	return files
}

func sameFiles(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Package docs tests documents that belong to no package.
package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compatible are the licences that may be part of a program under the MPL-2.0.
var compatible = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

func TestEveryDirectDependencyIsJustified(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(run(t, "go", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	if len(direct) == 0 {
		t.Fatal("go.mod has no direct dependency")
	}

	if got := firstColumn(t, "Why each"); !slices.Equal(got, direct) {
		t.Errorf("the table has\n%s\ngo.mod has\n%s", strings.Join(got, "\n"), strings.Join(direct, "\n"))
	}
}

func TestLicencesOfAllThatIsLinkedAreCompatible(t *testing.T) {
	for path, dir := range linked(t) {
		mustBeCompatible(t, path, dir)
	}
}

func TestLicencesOfAllThatIsLinkedAreHandedOn(t *testing.T) {
	if _, err := os.Stat("../deploy/packaging/licences.sh"); err != nil { // as in run
		t.Fatal(err)
	}
	texts := string(run(t, "deploy/packaging/licences.sh"))

	for module := range linked(t) {
		_, text, found := strings.Cut(texts, "\n"+module+" v")
		text, _, _ = strings.Cut(text, strings.Repeat("=", 80))
		if !found || len(classify(text)) == 0 {
			t.Errorf("deploy/packaging/licences.sh prints no licence of %s", module)
		}
	}
	if _, text, _ := strings.Cut(texts, "\nGo and its standard library go"); !strings.Contains(text[:min(len(text), 300)], "The Go Authors") {
		t.Error("deploy/packaging/licences.sh does not print Go's own licence")
	}
}

// linked returns the modules that are part of the program, with their directories.
func linked(t *testing.T) map[string]string {
	t.Helper()
	modules := map[string]string{}
	for _, line := range strings.Fields(string(run(t, "go", "list", "-deps",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}}|{{.Dir}}{{end}}{{end}}", "./cmd/mailu-rotator"))) {
		path, dir, _ := strings.Cut(line, "|")
		modules[path] = dir
	}
	if len(modules) < 10 {
		t.Fatalf("only %d modules are linked", len(modules))
	}
	return modules
}

// mustBeCompatible recognizes licences by phrases that no other licence has. A text
// without such a phrase, or of an unsuitable licence, fails the test: a person must
// read it.
func mustBeCompatible(t *testing.T, path, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[LC][IO][CP][EY]*"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no licence file in %s", path, dir)
		return
	}
	var found []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, classify(string(text))...)
	}
	for _, name := range found {
		if !slices.Contains(compatible, name) {
			t.Errorf("%s is under %s, which does not fit", path, name)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s: %v is no licence that this test knows", path, files)
	}
}

func classify(text string) (found []string) {
	text = strings.Join(strings.Fields(text), " ")
	has := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(text) }
	add := func(name string, is bool) {
		if is {
			found = append(found, name)
		}
	}
	bsd := has("Redistribution and use in source and binary forms")
	endorsement := has("(?i)neither the names? of")
	add("Apache-2.0", has(`Apache License,? Version 2\.0`))
	add("MPL-2.0", has(`(?i)^.{0,60}Mozilla Public License,? version 2\.0`))
	add("MIT", has("Permission is hereby granted, free of charge, to any person obtaining"))
	add("ISC", has("Permission to use, copy, modify,? and(/or)? distribute this software for any purpose"))
	add("BSD-3-Clause", bsd && endorsement)
	add("BSD-2-Clause", bsd && !endorsement)
	add("a GNU licence", has("GNU (AFFERO |LESSER |LIBRARY )?GENERAL PUBLIC LICENSE"))
	add("the Business Source License", has("Business Source License"))
	add("the Server Side Public License", has("Server Side Public License"))
	return found
}

func TestLicencesThatDoNotFitAreToldApart(t *testing.T) {
	for text, want := range map[string]string{
		"GNU GENERAL PUBLIC LICENSE\n Version 3":                                 "a GNU licence",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                                      "a GNU licence",
		"Business Source License 1.1":                                            "the Business Source License",
		"Mozilla Public License, version 2.0 … the GNU General Public License …": "MPL-2.0",
		"All rights reserved.":                                                   "",
	} {
		if got := strings.Join(classify(text), ", "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func firstColumn(t *testing.T, heading string) (names []string) {
	t.Helper()
	for _, row := range rows(t, heading) {
		names = append(names, strings.Split(row, "`")[1])
	}
	return names
}

// rows returns the table rows below a heading that begin with a name in code.
func rows(t *testing.T, heading string) []string {
	t.Helper()
	page, err := os.ReadFile("dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/dependencies.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return regexp.MustCompile("(?m)^\\| `.*$").FindAllString(section, -1)
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	if _, err := os.ReadFile("../go.mod"); err != nil { // reading it also invalidates go test's cached result
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out
}

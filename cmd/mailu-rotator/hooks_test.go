package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mailu-rotator/internal/hook"
	"mailu-rotator/rotator"
)

// hookUp sets all three hooks to a shell command, in which $0 is the path. The shell's
// own arguments show that they are passed unchanged.
func hookUp(t *testing.T, command, path string) (settings []string) {
	t.Helper()
	argv, err := json.Marshal([]string{"/bin/sh", "-c", command, path})
	must(t, err)
	for _, name := range []string{"after_rotation", "on_failure", "after_run"} {
		settings = append(settings, "hooks."+name+"="+string(argv))
	}
	return settings
}

// told returns what hooks appended to a file, by hook, and adds it to the log scan.
func (s *site) told(t *testing.T, file string) map[hook.Name][]hook.Document {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	s.ledger.record(t.Name()+" hooks", func() string { return string(text) })
	all := map[hook.Name][]hook.Document{}
	for line := range strings.Lines(string(text)) {
		var d hook.Document
		must(t, json.Unmarshal([]byte(line), &d))
		all[d.Hook] = append(all[d.Hook], d)
	}
	return all
}

func TestHooksAreToldOfARun(t *testing.T) {
	s := newTestSite(t)
	old := s.mustSeed(t, "old", "age=400")
	gone := s.mustSeed(t, "gone", "age=300", "absent=user")
	file := filepath.Join(s.dir, "told")
	must(t, s.writeConfig(hookUp(t, "cat >>$0", file)...))

	s.start(t, "--run-now").mustEnd(t, exitFailures)

	all := s.told(t, file)
	for _, name := range []hook.Name{hook.AfterRotation, hook.OnFailure, hook.AfterRun} {
		if len(all[name]) != 1 {
			t.Fatalf("%s was run %d times: %+v", name, len(all[name]), all)
		}
	}
	rotated, failed, run := all[hook.AfterRotation][0], all[hook.OnFailure][0], all[hook.AfterRun][0]
	if rotated.Tenant != old.id || rotated.User != old.user || rotated.Origin != old.mailu.Origin() || rotated.Outcome != "rotated" || rotated.Rotation == "" || rotated.Error != "" {
		t.Errorf("after_rotation was told %+v", rotated)
	}
	if failed.Tenant != gone.id || failed.User != gone.user || failed.Outcome != "failed" || !strings.Contains(failed.Error, "unknown to this server") {
		t.Errorf("on_failure was told %+v", failed)
	}
	if r := run.Run; r == nil || r.Task != "sweep" || r.Planned != 2 || r.Failures != 1 || !maps.Equal(r.Counts, map[string]int{"rotated": 1, "failed": 1}) {
		t.Errorf("after_run was told %+v", run.Run)
	}
}

func TestHooksGetNothingOfTheEnvironment(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "old", "age=400")
	file := filepath.Join(s.dir, "environment")
	must(t, s.writeConfig(hookUp(t, `tr '\0' '\n' </proc/$$/environ >$0`, file)...))

	s.start(t, "--run-now").mustEnd(t, exitDone)

	text, err := os.ReadFile(file)
	must(t, err)
	got := strings.Fields(string(text))
	want := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MAILU_ROTATOR_HOOK=after_run"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHooksAreToldOfAVerification(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=1")
	acme.mailu.AddUser(acme.user, "set by hand")
	file := filepath.Join(s.dir, "told")
	must(t, s.writeConfig(hookUp(t, "cat >>$0", file)...))

	s.start(t, "verify").mustEnd(t, exitFailures)
	s.start(t, "verify", "--repair").mustEnd(t, exitDone)

	all := s.told(t, file)
	if failed := all[hook.OnFailure]; len(failed) != 1 || failed[0].State != "drift" || failed[0].User != acme.user {
		t.Errorf("on_failure was told %+v", failed)
	}
	if repaired := all[hook.AfterRotation]; len(repaired) != 1 || repaired[0].Event != "tenant repaired" || repaired[0].Tenant != acme.id || repaired[0].User != acme.user {
		t.Errorf("after_rotation was told %+v", repaired)
	}
	if runs := all[hook.AfterRun]; len(runs) != 2 || runs[0].Run.Task != "verification" || runs[0].Run.Failures != 1 || runs[1].Run.Failures != 0 {
		t.Errorf("after_run was told %+v", runs)
	}
}

func TestHooksAreToldOfARunThatCouldNotTakePlace(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "old", "age=400")
	file := filepath.Join(s.dir, "told")
	must(t, s.issueToken(t.Context(), "default"))
	must(t, s.writeConfig(hookUp(t, "cat >>$0", file)...))

	s.start(t, "--run-now", "--dry-run").mustEnd(t, exitCannotRun) // no operator waits for it
	s.start(t, "--run-now").mustEnd(t, exitCannotRun)

	all := s.told(t, file)
	if failed := all[hook.OnFailure]; len(failed) != 1 || failed[0].Event != "sweep refused" || !strings.Contains(failed[0].Error, "permission denied") || len(all) != 1 {
		t.Errorf("told %+v", all)
	}
}

func TestFailingHooksFailNothing(t *testing.T) {
	s := newTestSite(t)
	s.mustSeed(t, "old", "age=400")
	must(t, s.writeConfig(hookUp(t, "echo sorry >&2; exit 9", "-")...))

	run := s.start(t, "--run-now")
	run.mustEnd(t, exitDone)

	run.mustLog(t, "hook failed", 2)
	if log := run.stderr.String(); !strings.Contains(log, `"output":"sorry"`) || !strings.Contains(log, `"error":"exit status 9"`) {
		t.Errorf("the log does not tell why: %s", log)
	}
}

// The daemon rotates all of its tenants while the first one's hook hangs; when stopped,
// it waits for the hooks, but only for a limited time.
func TestHooksDoNotHoldUpADaemon(t *testing.T) {
	s := newTestSite(t)
	var all []*tenant
	for i := range 6 {
		all = append(all, s.mustSeed(t, fmt.Sprint("t", i), "age=400"))
	}
	gate := filepath.Join(s.dir, "gate")
	must(t, syscall.Mkfifo(gate, 0o600))
	must(t, s.writeConfig(append(hookUp(t, `read -r line <"$0"; echo "$line"`, gate), everySecond, noJitter, "log.level=debug")...))

	daemon := s.start(t)
	for _, one := range all {
		await(t, one.name, func() error { return s.rotated(t.Context(), one) })
	}
	if n := strings.Count(daemon.stderr.String(), `"msg":"hook finished"`); n != 0 {
		t.Fatalf("%d hooks ended, and none should have", n)
	}
	daemon.signal(t, syscall.SIGTERM)
	open, err := os.OpenFile(gate, os.O_RDWR, 0)
	must(t, err)
	defer open.Close()
	_, err = open.WriteString(strings.Repeat("open\n", 1000))
	must(t, err)
	daemon.mustEnd(t, exitDone)

	if n := strings.Count(daemon.stderr.String(), `"hook":"after_rotation"`); n != len(all) {
		t.Errorf("%d hooks ended well, want %d:\n%s", n, len(all), &daemon.stderr)
	}
}

func TestHooksDocHasEveryFieldAndHook(t *testing.T) {
	const path = "../../docs/hooks.md"
	page := readDoc(t, path)

	for _, document := range []any{hook.Document{}, hook.Run{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(document)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(page, "\n| `"+name+"` |") {
				t.Errorf("%s does not have the field %s", path, name)
			}
		}
	}
	for _, name := range []hook.Name{hook.AfterRotation, hook.OnFailure, hook.AfterRun} {
		if !strings.Contains(page, "\n| `"+string(name)+"` |") {
			t.Errorf("%s does not have the hook %s", path, name)
		}
	}
}

func TestReloadChangesTheHooks(t *testing.T) {
	s := newTestSite(t)
	file := filepath.Join(s.dir, "told")
	s.mustSeed(t, "young", "age=1")
	must(t, s.writeConfig(everySecond, noJitter))
	daemon := s.start(t)
	daemon.mustLog(t, "sweep finished", 1)

	must(t, s.writeConfig(append(hookUp(t, "cat >>$0", file), everySecond, noJitter)...))
	daemon.signal(t, syscall.SIGHUP)
	await(t, "a hook", func() error {
		if _, err := os.Stat(file); err != nil {
			return errors.New("not yet")
		}
		return nil
	})
	daemon.stop(t)

	if runs := s.told(t, file)[hook.AfterRun]; len(runs) == 0 {
		t.Error("after_run was not run")
	}
}

// A hook that cannot be run is reported, and stops no rotation.
func TestAHookThatCannotBeRunStopsNoRotation(t *testing.T) {
	dir := t.TempDir()
	plain, open := dir+"/plain", dir+"/open"
	must(t, os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600))
	must(t, os.WriteFile(open, []byte("#!/bin/sh\n: >"+dir+"/was-run\n"), 0o600))
	must(t, os.Chmod(open, 0o777))
	for name, program := range map[string]string{"missing": dir + "/missing", "not executable": plain, "writable by all": open, "a directory": dir} {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			acme := s.mustSeed(t, "acme", "age=180")
			must(t, s.writeConfig(everySecond, noJitter, fmt.Sprintf("hooks.after_rotation=[%q]", program), "log.level=debug"))

			check := s.start(t, "config", "check")
			check.mustEnd(t, exitDone)
			if printed := check.stderr.String(); !strings.Contains(printed, "warning: this hook is not run: hooks.after_rotation: ") {
				t.Errorf("config check says %q", printed)
			}
			doctor := s.start(t, "doctor")
			doctor.mustEnd(t, exitDone)
			if printed := doctor.stdout.String(); !strings.Contains(printed, "! files          hooks.after_rotation: ") || program != dir && !strings.Contains(printed, "chmod 755 "+program) {
				t.Errorf("doctor says\n%s", printed)
			}
			daemon := s.start(t)
			await(t, "the rotation", func() error { return s.rotated(t.Context(), acme) })
			daemon.mustLog(t, "hook cannot be run", 1)
			daemon.mustLog(t, "hook failed", 1)
			daemon.stop(t)
			run := s.start(t, "--run-now")
			run.mustEnd(t, exitDone)
			run.mustLog(t, "hook failed", 1)
			if who := fmt.Sprintf(`"tenant":%q,"user":%q,"error"`, acme.id, acme.user); !strings.Contains(run.stderr.String(), who) {
				t.Errorf("no %s in the log:\n%s", who, &run.stderr)
			}
			if _, err := os.Stat(dir + "/was-run"); err == nil {
				t.Error("a program that anybody may write was run")
			}
		})
	}
}

func TestEventsReachAllObservers(t *testing.T) {
	var told []string
	as := func(name string) rotator.Observer {
		return func(e rotator.Event) { told = append(told, name+" "+string(e.Name)) }
	}

	observers(as("log"), as("metrics"))(rotator.Event{Name: rotator.SweepStarted})

	if !slices.Equal(told, []string{"log sweep started", "metrics sweep started"}) {
		t.Errorf("told %q", told)
	}
}

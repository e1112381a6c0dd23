package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// TestProcessShowsNoSecrets checks a run that holds a token, the master key and a
// password: neither its arguments nor its environment contain them, and a crash would
// not reveal them.
func TestProcessShowsNoSecrets(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig())
	acme.mailu.Inject(mailutest.Fault{Kind: mailutest.Delay, Method: http.MethodPatch, Delay: 2 * time.Second})

	run := s.start(t, "--run-now")
	await(t, "the push", func() error { return seen(acme.mailu, http.MethodPatch) })
	for _, name := range []string{"cmdline", "environ"} {
		file := fmt.Sprintf("/proc/%d/%s", run.cmd.Process.Pid, name)
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrPermission) {
			continue // unreadable files reveal nothing
		}
		must(t, err)
		if len(text) == 0 {
			t.Errorf("%s is empty: the process had ended", file)
		}
		s.ledger.record(t.Name()+" "+name, func() string { return string(text) })
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", run.cmd.Process.Pid))
	must(t, err)
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("it may dump its core:\n%s", limits)
	}
	run.mustEnd(t, exitDone)
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// emergency is one --run-now over everything.
type emergency struct {
	cutoff time.Time
	began  time.Time
	ended  time.Time // zero if it was killed or interrupted: its workers may go on
	status int
}

// runs are all emergency runs.
type runs struct {
	mu  sync.Mutex // guards all
	all []*emergency
}

// begin notes a run, and returns its arguments.
func (r *runs) begin() (*emergency, []string) {
	now := time.Now()
	e := &emergency{cutoff: now.Truncate(time.Millisecond), began: now}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, e)
	return e, []string{"--run-now", "--rotated-before", e.cutoff.UTC().Format(time.RFC3339Nano), "--output", "json"}
}

func (r *runs) end(e *emergency, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.ended, e.status = time.Now(), status
}

// direct makes each life of the process an emergency run.
func (r *runs) direct(p *process, output io.Writer) {
	var current *emergency
	var printed bytes.Buffer
	p.dress = func(cmd *exec.Cmd) {
		var args []string
		current, args = r.begin()
		cmd.Args = append(cmd.Args, args...)
		printed.Reset()
		cmd.Stdout = io.MultiWriter(&printed, output)
	}
	p.over = func(state *os.ProcessState) {
		tally := p.log.tally
		if !state.Exited() || p.told.Load() {
			tally.add("emergency runs", "killed or interrupted")
			return
		}
		tally.add("emergency runs", "ended with status "+strconv.Itoa(state.ExitCode()))
		if state.ExitCode() > 0 {
			for _, reason := range reasonsIn(printed.String()) {
				tally.add("rows of emergency runs", reason)
			}
		}
		p.findings = append(p.findings, judgeReport(printed.String())...)
		r.end(current, state.ExitCode())
	}
}

// judgeReport finds the tenants of a run that it ended without.
func judgeReport(report string) (findings []finding) {
	if n := strings.Count(report, "no worker reported a result"); n > 0 {
		findings = append(findings, finding{at: time.Now(), what: fmt.Sprintf("a run ended although %d of its tenants had no result", n)})
	}
	return findings
}

// reasonsIn are the outcomes and reasons of a report's rows, without what tells tenants
// apart.
func reasonsIn(report string) (all []string) {
	for _, row := range regexp.MustCompile(`"outcome": *"([^"]*)"[^}]*?"reason": *"([^"]{0,90})`).FindAllStringSubmatch(report, -1) {
		all = append(all, row[1]+": "+regexp.MustCompile(`[0-9]`).ReplaceAllString(row[2], "#"))
	}
	return all
}

// judgeReasons finds the passwords that nobody asked for: each has a reason, which is
// used up by it. Either its predecessor was due, or it was older than an emergency run
// that had begun and not ended demanded. It also finds what such a run left out and
// reported as done.
func (r *runs) judgeReasons(h history) (findings []finding) {
	find := func(at time.Time, format string, args ...any) {
		all := h.timeline()
		i := max(slices.IndexFunc(all, func(m moment) bool { return !m.at.Before(at) }), 0)
		findings = append(findings, finding{tenant: h.tenant, at: at, what: fmt.Sprintf(format, args...), around: nearby(all, i)})
	}
	for i := 1; i < len(h.versions); i++ {
		from, to := h.versions[i-1], h.versions[i]
		if from.pending != "" || to.pending == "" || from.due(to.at) {
			continue
		}
		if asked, late := r.asked(from.rotated, to.at); late {
			find(to.at, "%s was made after the run that asked for it had ended", to.pending)
		} else if !asked {
			find(to.at, "%s was made without a reason: the current password was neither due nor older than an emergency run's cut-off", to.pending)
		}
	}
	for _, e := range r.all {
		if e.ended.IsZero() || e.status != 0 {
			continue
		}
		if !h.renewed(*e) {
			find(e.ended, "an emergency run with the cut-off %s reported success, and the password is older", clockTime(e.cutoff))
		}
	}
	return findings
}

// asked reports whether a run demanded another password than one of that age, or had,
// before it ended.
func (r *runs) asked(rotated, at time.Time) (asked, late bool) {
	for _, e := range r.all {
		if rotated.Before(e.cutoff) && !at.Before(e.began) {
			if e.ended.IsZero() || !at.After(e.ended) {
				return true, false
			}
			late = true
		}
	}
	return false, late
}

// due reports whether the policy asks for another password.
func (v version) due(at time.Time) bool {
	var days int
	if _, err := fmt.Sscanf(v.policy, "%d_days", &days); err != nil {
		return false
	}
	return !at.Before(v.rotated.AddDate(0, 0, days))
}

// renewed reports whether a password that is new enough was current before the run ended.
func (s history) renewed(e emergency) bool {
	for _, v := range s.versions {
		if !v.rotated.Before(e.cutoff) && !v.at.After(e.ended) {
			return true
		}
	}
	return false
}

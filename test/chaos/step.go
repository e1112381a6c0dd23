package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// step is the purpose of a request, as the proxies see it.
type step string

// The steps, in the order of a run. If a password is pending, the first request to
// Mailu checks that password, otherwise that the user exists.
const (
	login    step = "login"
	mount    step = "mount"
	clock    step = "clock"
	keys     step = "keys"
	list     step = "list"
	read     step = "read"
	look     step = "look"
	prepare  step = "prepare"
	takeOver step = "take over"
	push     step = "push"
	verify   step = "verify"
	commit   step = "commit"
	abandon  step = "abandon"
	other    step = "other"

	// At NATS: the planner hands out a batch, and follows the run; the worker reports what
	// it did, and acknowledges the batch.
	publish     step = "publish"
	follow      step = "follow"
	report      step = "report"
	acknowledge step = "acknowledge"
)

func steps() []step {
	return []step{login, mount, clock, keys, list, read, look, prepare, takeOver, push, verify, commit, abandon}
}

// changes reports whether the step has an effect.
func (s step) changes() bool {
	return s == prepare || s == takeOver || s == push || s == commit || s == abandon
}

// atNATS reports whether NATS receives the step's request.
func (s step) atNATS() bool {
	return s == publish || s == follow || s == report || s == acknowledge
}

// atMailu reports whether Mailu receives the step's request.
func (s step) atMailu() bool { return s == look || s == push || s == verify }

// observer tracks which password is pending for each tenant, to distinguish the writes. It
// learns from the proxies and serves to aim faults; the audit does not use it.
type observer struct {
	byUser map[string]string // tenants; constant during the run
	mu     sync.Mutex
	sealed map[string]string // the last pending password of each tenant
	under  map[string]bool   // it is still pending
}

func newObserver() *observer {
	return &observer{byUser: map[string]string{}, sealed: map[string]string{}, under: map[string]bool{}}
}

// begun records a password that was pending before the run.
func (o *observer) begun(tenant, sealed string) {
	o.sealed[tenant], o.under[tenant] = sealed, true
}

func (o *observer) classify(r *http.Request) (what step, tenant string) {
	path := r.URL.Path
	data, isRecord := strings.CutPrefix(path, "/v1/vault/data/smtp/")
	user, isUser := strings.CutPrefix(path, "/api/v1/user/")
	switch {
	case isUser:
		return o.atMailu(r.Method, o.byUser[strings.ToLower(user)])
	case isRecord && r.Method == http.MethodGet:
		return read, strings.TrimSuffix(data, "/admin")
	case isRecord:
		return o.write(r, strings.TrimSuffix(data, "/admin"))
	case strings.HasPrefix(path, "/v1/vault/metadata/"):
		return list, ""
	case strings.HasPrefix(path, "/v1/transit/export/"):
		return keys, ""
	case strings.HasPrefix(path, "/v1/sys/internal/ui/mounts/"):
		return mount, ""
	case path == "/v1/sys/health":
		return clock, ""
	case path == "/v1/auth/approle/login":
		return login, ""
	}
	return other, ""
}

func (o *observer) atMailu(method, tenant string) (step, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case method == http.MethodPatch:
		return push, tenant
	case o.under[tenant]:
		return verify, tenant
	}
	return look, tenant
}

func (o *observer) write(r *http.Request, tenant string) (step, string) {
	type sealed struct {
		Password string `json:"password"`
	}
	var body struct {
		Data struct {
			sealed
			Pending *sealed `json:"pending"`
		} `json:"data"`
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		return other, tenant
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	pending := body.Data.Pending
	o.under[tenant] = pending != nil
	switch {
	case pending != nil && pending.Password == o.sealed[tenant]:
		return takeOver, tenant
	case pending != nil:
		o.sealed[tenant] = pending.Password
		return prepare, tenant
	case body.Data.Password == o.sealed[tenant]:
		return commit, tenant
	}
	return abandon, tenant
}

// sighting is a request as a proxy sees it.
type sighting struct {
	step
	tenant   string
	password string // of a push, in the clear
}

// watch classifies each request of one proxy once, however many faults match it. The
// proxy calls it under its lock.
type watch struct {
	*observer
	last *http.Request
	seen sighting
}

func (w *watch) see(r *http.Request) sighting {
	if r == w.last {
		return w.seen
	}
	w.last = r
	what, tenant := w.classify(r)
	w.seen = sighting{step: what, tenant: tenant}
	if what == push {
		var body struct {
			Password string `json:"raw_password"`
		}
		if text, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(text, &body) == nil {
			w.seen.password = body.Password
		}
	}
	return w.seen
}

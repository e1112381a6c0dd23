package mailutest

import (
	"net/http"
	"strings"
	"time"
)

// Kind is the kind of a fault. "Effect" means that the request has been handled normally, including authorisation; only
// the answer differs.
type Kind int

const (
	// Status answers Fault.Status (default 500) in the admin's own form, without effect.
	Status Kind = iota + 1
	// StatusAfter answers Fault.Status (default 500) after the effect.
	StatusAfter
	// Delay waits for Fault.Delay, then handles the request normally.
	Delay
	// DelayAfter handles the request, and answers after Fault.Delay.
	DelayAfter
	// ResetBefore resets the connection without effect.
	ResetBefore
	// ResetAfter resets the connection after the effect: the answer is lost.
	ResetAfter
	// HangBefore sends nothing until the client gives up or the server closes, without effect.
	HangBefore
	// HangAfter does the same after the effect.
	HangAfter
	// LateEffect fails immediately, with Fault.Status if it is set and a reset otherwise; the effect follows after
	// Fault.Delay. Server.Settle waits for it.
	LateEffect
	// HTMLPage answers with a page of nginx and Fault.Status (default 502) without effect.
	HTMLPage
	// Lie answers PATCH and POST as a success without effect. Other methods are handled normally.
	Lie
	// Redirect answers Fault.Status (default 302) with Fault.Location, without effect.
	Redirect
	// HugeBody has the effect and answers 200 with valid JSON of Fault.Size bytes (default 64 MiB).
	HugeBody
	// EndlessBody has the effect and answers 200 with a body that never ends, a kilobyte every Fault.Delay (default 10 ms).
	EndlessBody
	// GarbageJSON has the effect and answers 200, application/json, with a body that is not JSON.
	GarbageJSON
)

// Fault selects requests and how they fail. The zero values of Method, Email, Skip and Times match every request,
// always.
type Fault struct {
	Kind   Kind
	Method string // default: any
	Email  string // the user in the path, in any case; a POST has none. Default: any path
	Skip   int    // number of matching requests that pass first
	Times  int    // number that fail; 0: until ClearFaults

	Status     int           // if the Kind has one
	Body       string        // replaces the Kind's own, for Status, StatusAfter, HTMLPage, Redirect and GarbageJSON
	RetryAfter string        // the header Retry-After with the same Kinds; default: none
	Location   string        // for Redirect. Default: the same path on the host "elsewhere.example"
	Delay      time.Duration // if the Kind has one
	Size       int           // for HugeBody
}

// armed is a Fault with its remaining counts.
type armed struct {
	Fault
	skip, times int
}

// Inject arms faults. The first injected one that matches a request happens; a fault that is used up is removed. It
// panics on a Fault without a Kind.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Kind < Status || f.Kind > GarbageJSON {
			panic("mailutest: fault without a kind")
		}
		s.faults = append(s.faults, &armed{Fault: f, skip: f.Skip, times: f.Times})
	}
}

// ClearFaults disarms all. Effects of earlier faults continue: hanging requests hang, late effects come.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Settle returns when the late effects of the faults so far have happened.
func (s *Server) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.late > 0 {
		s.lateEnded.Wait()
	}
}

func (s *Server) nextFault(r *http.Request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !f.matches(r) {
			continue
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		if f.times == 1 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		f.times--
		return f.Fault, true
	}
	return Fault{}, false
}

func (f *armed) matches(r *http.Request) bool {
	if f.Method != "" && f.Method != r.Method {
		return false
	}
	return f.Email == "" || strings.EqualFold(r.URL.Path, userPath+"/"+f.Email)
}

func (f Fault) status(otherwise int) int {
	if f.Status == 0 {
		return otherwise
	}
	return f.Status
}

// dress adds the fault's own body and headers to an answer.
func (f Fault) dress(a answer) answer {
	if f.Body != "" {
		a.body = []byte(f.Body)
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", f.RetryAfter)
	}
	return a
}

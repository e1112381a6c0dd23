package main

import (
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"

	"mailu-rotator/rotator"
)

// progress is a bar with counts, rate and time left, if its output is a terminal. Log
// lines go through it, so that they do not run into the bar.
type progress struct {
	mu  sync.Mutex
	out io.Writer
	bar *progressbar.ProgressBar // nil until the plan is known
}

func newProgress(out io.Writer) *progress { return &progress{out: out} }

// Fd tells loggers whether they write to a terminal.
func (p *progress) Fd() uintptr { return uintptr(descriptor(p.out)) }

func (p *progress) flush() error { return flush(p.out) }

// observe is a rotator.Observer.
func (p *progress) observe(e rotator.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Name {
	case rotator.SweepPlanned:
		p.begin("rotating", e.Count)
	case rotator.AdditionPlanned:
		p.begin("adding", e.Count)
	case rotator.ResealPlanned:
		p.begin("resealing", e.Count)
	case rotator.VerificationPlanned:
		p.begin("verifying", e.Count)
	case rotator.TenantDone, rotator.TenantVerified:
		if p.bar != nil {
			_ = p.bar.Add(1)
		}
	}
}

// begin shows the bar. The caller holds the lock.
func (p *progress) begin(doing string, count int) {
	if count == 0 || !isTerminal(p) {
		return
	}
	p.bar = progressbar.NewOptions(count,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription(doing),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("tenants"),
		progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	_ = p.bar.RenderBlank() // an unwritable terminal changes nothing
}

// Write puts a log line above the bar.
func (p *progress) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil || p.bar.IsFinished() {
		return p.out.Write(line)
	}
	_ = p.bar.Clear()
	n, err := p.out.Write(line)
	_ = p.bar.RenderBlank()
	return n, err
}

// end removes the bar.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}

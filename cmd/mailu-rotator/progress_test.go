package main

import (
	"bytes"
	"testing"

	"mailu-rotator/rotator"
)

func TestProgressIsSilentWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)

	p.observe(rotator.Event{Name: rotator.SweepPlanned, Count: 2})
	p.observe(rotator.Event{Name: rotator.TenantDone})
	_, err := p.Write([]byte("a log line\n"))
	must(t, err)
	p.observe(rotator.Event{Name: rotator.TenantDone})
	p.end()

	if out.String() != "a log line\n" {
		t.Errorf("printed %q", out.String())
	}
}

func TestProgressEndsWithoutHavingBegun(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false)

	p.end()
	p.end()

	if out.Len() != 0 {
		t.Errorf("printed %q", out.String())
	}
}

package main

import (
	"sync"
	"testing"
)

func TestAPushForAUserOfTwoRecordsIsFound(t *testing.T) {
	both, lasting := rivalry{from: second(10), to: second(20)}, rivalry{from: second(10)}
	tests := []struct {
		name       string
		rivalry    rivalry
		listed, at int
		want       bool
	}{
		{"listed and pushed meanwhile", both, 12, 15, true},
		{"listed at the very moment", both, 10, 15, true},
		{"listed before", both, 9, 15, false},
		{"pushed after", both, 12, 20, false},
		{"pushed before", both, 5, 8, false},
		{"while it lasts", lasting, 12, 15, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.rivalry.breaks(pushSeen{at: second(test.at), listed: second(test.listed)}); got != test.want {
				t.Errorf("found %t, want %t", got, test.want)
			}
		})
	}
}

// The race detector judges: a proxy may be slow with a request whose process was killed.
func TestALateRequestIsRecordedWhileTheRunIsJudged(t *testing.T) {
	one := &tenant{rivals: []rivalry{{from: second(10)}}}
	s := &stage{tenants: []*tenant{one}}
	one.pushed(pushSeen{at: second(15), listed: second(12)})
	var late sync.WaitGroup
	late.Go(func() { one.pushed(pushSeen{at: second(5), listed: second(4)}) })

	found := s.judgeRivals()

	late.Wait()
	if len(found) != 1 {
		t.Errorf("found %d, want the push of the second record's time", len(found))
	}
}

package main

import "testing"

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

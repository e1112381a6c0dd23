package vault

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// The tests run no cluster: the nodes' answers are given.
func TestHealthOfEveryKindOfNode(t *testing.T) {
	for name, test := range map[string]struct {
		health api.HealthResponse
		want   string
	}{
		"new":                 {api.HealthResponse{Sealed: true}, "failed skipped skipped"},
		"sealed":              {api.HealthResponse{Initialized: true, Sealed: true, Standby: true}, "ok failed skipped"},
		"active":              {api.HealthResponse{Initialized: true}, "ok ok ok"},
		"standby":             {api.HealthResponse{Initialized: true, Standby: true}, "ok ok ok"},
		"performance standby": {api.HealthResponse{Initialized: true, Standby: true, PerformanceStandby: true}, "ok ok ok"},
		"DR secondary":        {api.HealthResponse{Initialized: true, Standby: true, ReplicationDRMode: "secondary"}, "ok ok failed"},
	} {
		var got []string
		for _, c := range judgeHealth(&test.health) {
			got = append(got, string(c.State))
			if (c.State == rotator.CheckFailed) != (c.Fix != "") {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

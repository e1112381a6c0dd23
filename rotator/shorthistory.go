package rotator

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

const (
	// usefulHistory is how many versions the store has to keep for a repair and a
	// rollback to find a former password after a rotation: its two writes, and the
	// version from before.
	usefulHistory = 3
	// maxProbed bounds how many records an examination asks for earlier versions.
	maxProbed = 1000
)

// shortHistories asks for the earlier versions that the history of each record
// must have to be of use, of as many records as are probed. How many versions the
// store keeps (max_versions) is not shown to the policy of this program; what it
// has dropped is.
func (r *run) shortHistories(ctx context.Context, candidates []Candidate) []Flaw {
	kept := make([]int, len(candidates)) // 0: enough, or not probed
	var group errgroup.Group
	group.SetLimit(max(r.Workers, 1))
	probed := 0
	for place, c := range candidates {
		if c.Foreign || c.Err != nil || c.Credential.Version < usefulHistory || probed == maxProbed {
			continue
		}
		probed++
		group.Go(func() error {
			kept[place] = r.kept(ctx, c.Credential)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
	var flaws []Flaw
	for place, n := range kept {
		if n > 0 {
			c := candidates[place]
			flaws = append(flaws, Flaw{Tenant: c.Name, Kind: FlawShortHistory, Version: c.Credential.Version, Reason: shortHistory(n)})
		}
	}
	return flaws
}

// kept is how many versions the store keeps of a record; 0 where these are enough.
// A version that is deleted or destroyed counts: somebody did that.
func (r *run) kept(ctx context.Context, c Credential) int {
	x := &rotation{Rotator: &Rotator{Store: r.Store, DefaultPolicy: r.DefaultPolicy}, cred: c}
	for back := 1; back < usefulHistory; back++ {
		_, err := x.readVersion(ctx, c.Version-back)
		var deleted *DeletedError
		if errors.Is(err, ErrAbsent) && !errors.As(err, &deleted) {
			return back
		}
	}
	return 0
}

func shortHistory(kept int) string {
	if kept == 1 {
		return "Vault keeps 1 version of the record (max_versions): verify --repair cannot find a former password, and rollback has none to bring back"
	}
	return fmt.Sprintf("Vault keeps %d versions of the record (max_versions): verify --repair and rollback find the former password only until the next write after a rotation", kept)
}

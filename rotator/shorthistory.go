package rotator

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

const (
	// usefulHistory is how many versions the store must keep so that a repair or a
	// rollback finds a former password after a rotation: its two writes, and the
	// version before.
	usefulHistory = 3
	// maxProbed limits the number of records whose earlier versions are requested.
	maxProbed = 1000
)

// shortHistories requests, for up to maxProbed records, the earlier versions that a
// useful history must have. This program's policy cannot read max_versions, but it can
// see which versions were dropped.
func (r *run) shortHistories(ctx context.Context, candidates []Candidate) []Flaw {
	kept := make([]int, len(candidates)) // 0: enough, or not probed
	var group errgroup.Group
	group.SetLimit(max(r.Workers, 1))
	probed := 0
	for place, c := range candidates {
		if c.Ignored || c.Err != nil || c.Credential.Version < usefulHistory || probed == maxProbed {
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

// kept is how many versions the store keeps of a record; 0 if they are enough. A
// deleted or destroyed version counts as kept: that was a deliberate act.
func (r *run) kept(ctx context.Context, c Credential) int {
	for back := 1; back < usefulHistory; back++ {
		_, err := readVersion(ctx, r.Store, c.Tenant, c.Version-back, r.DefaultPolicy)
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

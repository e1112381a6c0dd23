package sweep

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/rotator"
)

// Remover deletes records for good. The deletion is not check-and-set.
type Remover interface {
	// MayRemove returns [rotator.ErrForbidden] if Remove would be refused.
	MayRemove(ctx context.Context, tenant rotator.TenantID) error
	Remove(ctx context.Context, tenant rotator.TenantID) error
}

// Removal is a tenant whose record can be removed. The tags are those of the JSON
// document.
type Removal struct {
	Tenant rotator.TenantID `json:"tenant"`
	User   string           `json:"user,omitempty"`   // "": the record does not tell, or is deleted already
	Origin rotator.Origin   `json:"origin,omitempty"` // likewise
	Remark string           `json:"remark,omitempty"` // what else an operator should know first; may be empty

	credential rotator.Credential
	inFleet    bool // a run may rotate it
}

// Removable finds the tenant as [Sweep.Record] does, and examines it. A record with a
// pending password is an error: Mailu may hold either of the two. A malformed record may
// be removed, and one that is deleted or withdrawn, by its id.
func (s *Sweep) Removable(ctx context.Context, name string) (Removal, error) {
	r := &run{Sweep: s, clock: s.Clock}
	tenant, err := r.named(ctx, name)
	if err != nil {
		return Removal{}, err
	}
	c := r.candidate(ctx, string(tenant))
	removal := Removal{Tenant: tenant, User: c.Credential.Username, Origin: c.Credential.Origin, credential: c.Credential}
	_, deleted := errors.AsType[*rotator.DeletedError](c.Err)
	malformed := errors.Is(c.Err, rotator.ErrMalformed)
	switch {
	case deleted || rotator.IsWithdrawn(c.Err):
		removal.Remark = c.Err.Error()
		return removal, nil
	case c.Err != nil && !malformed:
		return Removal{}, fmt.Errorf("tenant %s: %w", tenant, c.Err)
	case c.Credential.Pending != nil && c.Credential.BeingAdded():
		return Removal{}, fmt.Errorf("tenant %s is half-added: run the same tenant add again to finish it first", tenant)
	case c.Credential.Pending != nil || malformed && c.Credential.HasPending():
		return Removal{}, fmt.Errorf("tenant %s has a half-finished rotation, or one under way: finish it first with mailu-rotator --run-now --due-only --tenant %s", tenant, tenant)
	case malformed:
		removal.Remark = c.Err.Error()
	}
	removal.inFleet = true
	return removal, nil
}

// Remove deletes the tenant's record for good, unless it has changed since it was
// examined. The tenant leaves the fleet first, see [rotator.Withdraw], so if the deletion
// fails, it can be repeated. Mailu is not asked.
func (s *Sweep) Remove(ctx context.Context, from Remover, removal Removal) error {
	if removal.inFleet {
		err := rotator.Withdraw(ctx, s.Store, removal.credential)
		if errors.Is(err, rotator.ErrConflict) && rotator.IsWithdrawn((&run{Sweep: s}).candidate(ctx, string(removal.Tenant)).Err) {
			err = nil // an earlier try of the same write
		}
		if err != nil {
			return fmt.Errorf("tenant %s is not removed: %w", removal.Tenant, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rotator.StoreDeadline)
	defer cancel()
	if err := from.Remove(ctx, removal.Tenant); err != nil {
		return fmt.Errorf("tenant %s is out of the fleet, but not removed, run the same command again: %w", removal.Tenant, err)
	}
	return nil
}

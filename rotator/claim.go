package rotator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"mailu-rotator/crypto"
)

// maxTakeovers bounds how often a pending password's claim is rewritten. Each rewrite is
// a KV version, and KV v2 keeps 10 by default: prepare, six take-overs and commit leave
// room for earlier ones. Beyond the limit a rotation is still finished once Mailu shows that
// it holds the pending password, and by a run that names the tenant.
const maxTakeovers = 6

// MaxClaimTTL is the maximum length of a claim.
const MaxClaimTTL = time.Hour

// maxOwner is in characters. No process has a longer name, and messages show it.
const maxOwner = 255

const (
	fieldOwner        = "owner"
	fieldClaimedUntil = "claimed_until"
	fieldTakeovers    = "takeovers"
	fieldAdmitted     = "admitted"
)

// Pending is a password that Vault holds and Mailu may have: a rotation that is
// running, or one left half-finished.
type Pending struct {
	Password    crypto.SealedPassword `json:"-"`
	LastRotated string                // when it was made; what it is sealed for, and the record's last_rotated once committed
	KeyVersion  crypto.KeyVersion
	Claim       Claim
	// Admitted is for a tenant that is being added: no other record of the fleet had
	// its user after this one was written. Before that nothing is pushed.
	Admitted bool

	fields map[string]any
}

// Claim says which process may push a pending password, and until when.
type Claim struct {
	Owner     string    // one process of one host
	Until     time.Time // until then no other process touches the pending password
	Takeovers int       // how often the claim was rewritten, see maxTakeovers
}

// Live reports whether the claim is valid. It expires exactly at the time that it
// names. Claims beyond MaxClaimTTL are ignored as corrupt or malicious: they would lock
// all processes out permanently.
func (c Claim) Live(now time.Time) bool {
	return now.Before(c.Until) && c.Until.Sub(now) <= MaxClaimTTL+maxSkew
}

// parsePending takes empty values as malformed, not absent: `vault kv patch` may have
// emptied them over a password that Mailu holds, and an operator must check first.
func parsePending(raw any) (*Pending, error) {
	fields, isObject := raw.(map[string]any)
	switch {
	case raw == "" || isObject && len(fields) == 0:
		return nil, fmt.Errorf("%s is malformed: it is empty; at rest there is no such field", fieldPending)
	case !isObject: // the value may be a secret
		return nil, fmt.Errorf("%s is not an object", fieldPending)
	}
	r := fieldReader{fields: fields}
	p := &Pending{
		Password:    crypto.SealedPassword(r.required(fieldPassword)),
		LastRotated: r.required(fieldLastRotated),
		KeyVersion:  r.keyVersion(),
		fields:      fields,
	}
	p.Claim.Owner = fmt.Sprintf("%.*s", maxOwner, r.required(fieldOwner))
	if stored := r.required(fieldClaimedUntil); stored != "" {
		var ok bool
		if p.Claim.Until, ok = timestamp(stored); !ok {
			r.check(fieldClaimedUntil, fmt.Errorf("%s is not a timestamp", fieldClaimedUntil))
		}
	}
	p.Claim.Takeovers = r.wholeNumber(fieldTakeovers, 0)
	admitted, isBool := fields[fieldAdmitted].(bool)
	if stored := fields[fieldAdmitted]; stored != nil && !isBool {
		r.check(fieldAdmitted, fmt.Errorf("%s is not true or false but %s", fieldAdmitted, describe(stored)))
	}
	p.Admitted = admitted
	if err := r.err(); err != nil {
		return nil, fmt.Errorf("%s is malformed: %w", fieldPending, err)
	}
	return p, nil
}

func (p Pending) fieldsOut() map[string]any {
	fields := map[string]any{}
	maps.Copy(fields, p.fields)
	fields[fieldPassword] = string(p.Password)
	fields[fieldLastRotated] = p.LastRotated
	putKeyVersion(fields, p.KeyVersion)
	fields[fieldOwner] = p.Claim.Owner
	fields[fieldClaimedUntil] = FormatTime(p.Claim.Until)
	if p.Claim.Takeovers > 0 {
		fields[fieldTakeovers] = json.Number(strconv.Itoa(p.Claim.Takeovers))
	}
	if p.Admitted {
		fields[fieldAdmitted] = true
	}
	return fields
}

// FormatTime writes RFC 3339 in UTC with milliseconds, as JavaScript writers of these
// records do: two rotations within one second get different times.
func FormatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func rotationUnderWay(c Claim) string {
	return fmt.Sprintf("rotation under way by %s, until %s", c.Owner, FormatTime(c.Until))
}

func halfFinishedBy(c Claim) string { return "half-finished rotation by " + c.Owner }

// HalfFinished describes the half-finished rotation and its owner.
func (c Credential) HalfFinished() string {
	if c.BeingAdded() {
		return "half-finished addition by " + c.Pending.Claim.Owner
	}
	return halfFinishedBy(c.Pending.Claim)
}

// claimedBy names the claim's owner, and until when others wait.
func claimedBy(c Claim) error {
	return fmt.Errorf("%w: %s, until %s; nothing to do unless it lasts longer", errClaimed, c.Owner, FormatTime(c.Until))
}

// claimed returns an error if another process has a valid claim on p.
func (r *rotation) claimed(p *Pending) error {
	if p.Claim.Owner == r.Owner || !p.Claim.Live(r.Clock.Now()) {
		return nil
	}
	return claimedBy(p.Claim)
}

// resume loads the pending password of a half-finished rotation and asks Mailu about it,
// before it claims: if Mailu holds the password only the commit is missing (held), and
// if Mailu does not answer no KV version is spent on a claim.
func (r *rotation) resume(ctx context.Context) (held bool, err error) {
	if err := r.claimed(r.cred.Pending); err != nil {
		return false, err
	}
	if err := r.load(r.cred.Pending); err != nil {
		return false, err
	}
	r.shared = true
	match, err := r.verify(ctx)
	switch {
	case errors.Is(err, ErrUnknownUser): // there is no user to push to
		return false, r.whileAdded(err)
	case err != nil && !errors.Is(err, ErrUnverifiable): // a hash of another kind is not ours
		return false, err
	}
	return match == Match, nil
}

// holdClaim ensures that this process has the claim for long enough to push. It
// rewrites a claim of an earlier attempt, however long that is valid: a lost commit or
// abandonment of that attempt may still be in transit, and would remove the pending
// password from Vault during the push.
func (r *rotation) holdClaim(ctx context.Context) error {
	if r.cred.Pending == nil {
		return errOvertaken
	}
	claim, now := r.cred.Pending.Claim, r.Clock.Now()
	if r.fenced && claim.Owner == r.Owner && claim.Until.Sub(now) > r.ClaimTTL/2 && !r.cred.open() {
		return nil
	}
	return r.takeOver(ctx)
}

// takeOver rewrites only the claim; for a tenant that is being added it sets Admitted.
func (r *rotation) takeOver(ctx context.Context) error {
	defer r.timed(StepTakeOver)()
	former := r.cred.Pending.Claim
	var claim Claim
	err := r.update(ctx, change{
		apply: func(c *Credential) error {
			if !c.holdsPending(r.next) {
				return errOvertaken
			}
			if err := r.claimed(c.Pending); err != nil {
				return err
			}
			if c.Pending.Claim.Takeovers >= maxTakeovers && !r.insist {
				return errStuck
			}
			mine, own := *c.Pending, c.Pending.Claim.Owner == r.Owner
			r.shared = r.shared || !own
			claim = r.newClaim(mine.Claim.Takeovers + 1)
			if c.open() && own {
				claim.Takeovers-- // each addition has this write
			}
			mine.Admitted = c.BeingAdded()
			mine.LastRotated, mine.KeyVersion, mine.Claim = r.next.LastRotated, r.next.KeyVersion, claim
			c.Pending = &mine
			return nil
		},
		landed: func(c Credential) bool {
			return c.holdsPending(r.next) && c.Pending.Claim == claim && !c.open()
		},
	})
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if former.Owner != r.Owner {
		r.note(RotationTakenOver, nil)
	}
	return nil
}

// newClaim ends at a whole millisecond, as it is stored.
func (r *rotation) newClaim(takeovers int) Claim {
	until := r.Clock.Now().Add(r.ClaimTTL).UTC().Truncate(time.Millisecond)
	return Claim{Owner: r.Owner, Until: until, Takeovers: takeovers}
}

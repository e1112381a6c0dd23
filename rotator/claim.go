package rotator

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"mailu-rotator/crypto"
)

// maxTakeovers bounds how often a pending password's claim is rewritten. Each
// rewrite is a KV version, and KV v2 keeps 10 by default: prepare, six
// take-overs and commit leave room for versions from before the rotation. Past
// the bound a rotation is still finished as soon as Mailu is seen to hold the
// pending password, and by a run that names the tenant.
const maxTakeovers = 6

// MaxClaimTTL is the longest that a claim may stand.
const MaxClaimTTL = time.Hour

// maxOwner is in characters. No process has a longer name, and messages show it.
const maxOwner = 255

const (
	fieldOwner        = "owner"
	fieldClaimedUntil = "claimed_until"
	fieldTakeovers    = "takeovers"
	fieldAdmitted     = "admitted"
)

// Pending is a password that Vault holds and Mailu may know: a rotation under
// way, or one left half-finished.
type Pending struct {
	Password    crypto.SealedPassword
	LastRotated string // when it was made; what it is sealed for, and the record's last_rotated once committed
	KeyVersion  crypto.KeyVersion
	Claim       Claim
	// Admitted, of a tenant that is being added: no other record of the fleet had its
	// user when this one was there already. Before that nothing is pushed.
	Admitted bool

	fields map[string]any
}

// Claim says who may push a pending password, and how long.
type Claim struct {
	Owner     string    // one process of one host
	Until     time.Time // nobody else touches the pending password before
	Takeovers int       // how often the claim was rewritten, see maxTakeovers
}

// live reports whether the claim still stands. It lapses at the very instant
// that it names. One that would stand longer than any process claims is a slip
// or a trick, and not believed: it would keep everybody away for good.
func (c Claim) live(now time.Time) bool {
	return now.Before(c.Until) && c.Until.Sub(now) <= MaxClaimTTL+maxSkew
}

// parsePending reads what a rotation has left in the record. What is empty is
// malformed as well, and not absent: `vault kv patch` may have emptied it over a
// password that Mailu holds, and somebody has to look first.
func parsePending(raw any) (*Pending, error) {
	fields, isObject := raw.(map[string]any)
	switch {
	case raw == "" || isObject && len(fields) == 0:
		return nil, fmt.Errorf("%s is malformed: it is empty; at rest there is no such field", fieldPending)
	case !isObject: // whose value may be a secret
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
		until, ok := timestamp(stored)
		if !ok {
			r.check(fieldClaimedUntil, fmt.Errorf("%s is not a timestamp", fieldClaimedUntil))
		}
		p.Claim.Until = until
	}
	p.Claim.Takeovers = r.wholeNumber(fieldTakeovers, 0)
	p.Admitted = r.flag(fieldAdmitted)
	if err := r.complaints(); err != nil {
		return nil, fmt.Errorf("%s is malformed: %w", fieldPending, err)
	}
	return p, nil
}

func (p Pending) fieldsOut() map[string]any {
	fields := maps.Clone(p.fields)
	if fields == nil {
		fields = map[string]any{}
	}
	fields[fieldPassword] = string(p.Password)
	fields[fieldLastRotated] = p.LastRotated
	putKeyVersion(fields, p.KeyVersion)
	fields[fieldOwner] = p.Claim.Owner
	fields[fieldClaimedUntil] = formatTime(p.Claim.Until)
	if p.Claim.Takeovers > 0 {
		fields[fieldTakeovers] = json.Number(strconv.Itoa(p.Claim.Takeovers))
	}
	if p.Admitted {
		fields[fieldAdmitted] = true
	}
	return fields
}

// formatTime writes RFC 3339 in UTC with milliseconds: two rotations within one
// second stay apart, and the spelling is the one that JavaScript writers of
// these records use.
func formatTime(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

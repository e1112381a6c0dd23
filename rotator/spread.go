package rotator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// maxSpread is in percent. With more of it a password could be replaced twice as
// often as its policy demands.
const maxSpread = 50

// Spread says how much earlier than its policy demands a password may be due, as
// a share of the policy, so that tenants that were rotated together do not stay
// together. The zero Spread is none: everything is due when its policy says.
type Spread struct{ percent int }

// ParseSpread reads "<n>%", n from 0 to 50 and without a leading zero. A share
// and not a length of time, because policies differ from record to record: it
// fits each of them, and makes none due at once.
func ParseSpread(s string) (Spread, error) {
	digits, found := strings.CutSuffix(s, "%")
	percent, err := strconv.Atoi(digits)
	if !found || err != nil || strconv.Itoa(percent) != digits || percent < 0 || percent > maxSpread {
		return Spread{}, fmt.Errorf("%.40q is not a share of the policy, \"<n>%%\" from 0%% to %d%%", s, maxSpread)
	}
	return Spread{percent}, nil
}

// String is the spelling that [ParseSpread] reads.
func (s Spread) String() string { return strconv.Itoa(s.percent) + "%" }

// grain is what of a spread is drawn anew at each rotation. Sweeps come by the
// day, so it takes a day to part tenants that one sweep has rotated.
const grain = 24 * time.Hour

// early is how much sooner than its policy demands a password that was made at
// born is due, in whole seconds: from 0 to less than the spread's share of the
// policy.
//
// Each tenant has a place of its own in the cycle of its policy, which a hash of
// its id says. The longer ago that place was when the password was made, the
// earlier the next one is due: each rotation goes back by the same share of the
// way. So a wave is as wide as the spread in its first cycle, evenly filled, and
// wider in each later one until it fills them all. There it stays, at next to no
// cost: who is at its place comes after a whole policy again.
//
// Two simpler rules do worse (docs/performance.md). By the same time for a tenant
// always, all whose intervals are of the same number of sweeps stay together for
// good. By a time drawn anew at each rotation, a wave widens with the root of its
// cycles alone. Both also rotate more often than needed, for ever.
func (p Policy) early(tenant TenantID, born time.Time) time.Duration {
	share := p.MaxAge() / 100 * time.Duration(p.spread.percent)
	if share == 0 {
		return 0
	}
	drawn := min(grain, share/2)
	cycle := p.MaxAge().Milliseconds() // as stored times are: nanoseconds would not hold all of the calendar
	place := fraction(uint64(cycle), hash(string(tenant)))
	since := (born.UnixMilli() - int64(place)) % cycle
	if since < 0 {
		since += cycle // born is before 1970, or its place
	}
	again := hash(string(tenant) + " " + strconv.FormatInt(born.UnixMilli(), 10))
	early := proportion(uint64(share-drawn), uint64(since), uint64(cycle)) + fraction(uint64(drawn), again)
	return time.Duration(early).Truncate(time.Second)
}

// hash is the first eight bytes of the text's SHA-256, read as a number, most
// significant first. It must never change, because hosts of different releases
// have to agree; and whole numbers do not round differently on another machine.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// fraction is n × h / 2⁶⁴.
func fraction(n, h uint64) uint64 {
	high, _ := bits.Mul64(n, h)
	return high
}

// proportion is n × part / whole, for a part less than the whole.
func proportion(n, part, whole uint64) uint64 {
	high, low := bits.Mul64(n, part)
	quotient, _ := bits.Div64(high, low, whole)
	return quotient
}

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

// maxSpread is in percent. With more, a password could be replaced twice as often as
// its policy demands.
const maxSpread = 50

// Spread is how much earlier than its policy demands a password may be due, as a share
// of the policy, so that tenants that were rotated together spread out. With the zero
// Spread everything is due when its policy says.
type Spread struct{ percent int }

// ParseSpread reads "<n>%", n from 0 to 50 and without a leading zero. It is a share
// and not a length of time, because policies differ from record to record: a share fits
// each of them, and makes none due immediately.
func ParseSpread(s string) (Spread, error) {
	digits, found := strings.CutSuffix(s, "%")
	percent, err := strconv.Atoi(digits)
	if !found || err != nil || strconv.Itoa(percent) != digits || percent < 0 || percent > maxSpread {
		return Spread{}, fmt.Errorf("%.40q is not a share of the policy, \"<n>%%\" from 0%% to %d%%", s, maxSpread)
	}
	return Spread{percent}, nil
}

// String returns the text that [ParseSpread] reads.
func (s Spread) String() string { return strconv.Itoa(s.percent) + "%" }

// grain is the part of a spread that is drawn again at each rotation. Sweeps are daily,
// so it takes a day to separate tenants that one sweep has rotated.
const grain = 24 * time.Hour

// early is how much sooner than its policy demands a password created at born is due,
// in whole seconds: from 0 to less than the spread's share of the policy.
//
// A hash of its id gives each tenant a fixed place in the cycle of its policy. The
// longer ago that place was when the password was created, the earlier the next one is
// due: each rotation closes the same share of the distance. So a wave is as wide as the
// spread in its first cycle, evenly filled, and wider in each later one until it fills
// the whole cycle. Then the cost is nearly zero: a tenant at its place is due after a
// whole policy again.
//
// Two simpler rules are worse. With a fixed time per tenant, all
// tenants whose intervals have the same number of sweeps stay together permanently.
// With a time drawn again at each rotation, a wave widens only with the square root of
// its cycles. Both also permanently rotate more often than needed.
func (p Policy) early(tenant TenantID, born time.Time) time.Duration {
	share := p.MaxAge() / 100 * time.Duration(p.spread.percent)
	if share == 0 {
		return 0
	}
	drawn := min(grain, share/2)
	cycle := p.MaxAge().Milliseconds() // like stored times: nanoseconds would not hold the whole calendar
	place := fraction(uint64(cycle), hash(string(tenant)))
	since := (born.UnixMilli() - int64(place)) % cycle
	if since < 0 {
		since += cycle // born is before 1970, or before its place
	}
	again := hash(string(tenant) + " " + strconv.FormatInt(born.UnixMilli(), 10))
	early := proportion(uint64(share-drawn), uint64(since), uint64(cycle)) + fraction(uint64(drawn), again)
	return time.Duration(early).Truncate(time.Second)
}

// hash is the first eight bytes of the text's SHA-256, read as a big-endian number. It
// must never change, because hosts of different releases must agree; and integers round
// the same on every machine.
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

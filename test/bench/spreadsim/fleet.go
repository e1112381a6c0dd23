package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const (
	aDay   = 24 * time.Hour
	jitter = 10 * time.Minute
	window = 6 * time.Hour
	// pace is a server's speed: two at a time, 0.3 seconds each.
	pace = 150 * time.Millisecond
)

// epoch is the midnight at the start of day 0.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fleet is the tenants' records and a host that sweeps them each night at three.
type fleet struct {
	scenario
	chance  *rand.Rand
	tenants []rotator.Candidate
	// calendar maps a day to the tenants that become due on it; waiting holds those
	// whose day has passed. The plan does not see tenants that are not due, which it
	// would skip; a test checks that this makes no difference.
	calendar map[int][]int
	waiting  []int
	spread   rotator.Spread
	nights   rotator.Timetable
	oldest   time.Duration
	whole    bool // pass everything to the plan, for that test
}

func newFleet(s scenario) *fleet {
	schedule, err := cron.ParseStandard("0 3 * * *")
	if err != nil {
		panic(err) // it is a constant
	}
	f := &fleet{
		scenario: s, chance: rand.New(rand.NewPCG(1, 2)), calendar: map[int][]int{},
		nights: rotator.Timetable{Schedule: schedule, Timezone: time.UTC, Jitter: jitter, Window: window},
	}
	for range s.aged {
		f.admit(epoch.Add(-time.Duration(f.chance.Int64N(int64(180 * aDay)))))
	}
	return f
}

// add imports that many tenants on the day, starting at ten in the morning.
func (f *fleet) add(day, n int) {
	morning := epoch.Add(time.Duration(day)*aDay + 10*time.Hour)
	for i := range n {
		f.admit(morning.Add(time.Duration(i) * pace))
	}
}

// admit creates the record of a tenant whose password was made at born.
func (f *fleet) admit(born time.Time) {
	i := len(f.tenants)
	a, b := f.chance.Uint64(), f.chance.Uint64()
	id := rotator.TenantID(fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff))
	policy := "180_days"
	if f.mixed && i%3 == 0 {
		policy = "30_days"
	}
	parsed, err := rotator.ParsePolicy(policy)
	if err != nil {
		panic(err) // it is a constant
	}
	f.tenants = append(f.tenants, rotator.Candidate{Name: string(id), Credential: rotator.Credential{
		Tenant: id, Username: fmt.Sprintf("admin@%d.example", i), Origin: "https://mail.example.com",
		Password: "sealed", Policy: parsed.WithSpread(f.spread),
	}})
	f.made(i, born)
}

// made records when the tenant's password was made, and files the tenant under the day
// on which it becomes due.
func (f *fleet) made(i int, at time.Time) {
	f.tenants[i].Credential.LastRotated = at.Format("2006-01-02T15:04:05.000Z")
	f.file(i)
}

func (f *fleet) file(i int) {
	due, _ := f.tenants[i].Credential.DueAt(epoch.AddDate(100, 0, 0)) // this date depends only on its record
	day := max(0, int(due.Sub(epoch)/aDay))
	f.calendar[day] = append(f.calendar[day], i)
}

// spreadBy is a reload with another rotation.spread.
func (f *fleet) spreadBy(spread rotator.Spread) {
	f.spread, f.calendar, f.waiting = spread, map[int][]int{}, nil
	for i := range f.tenants {
		c := &f.tenants[i].Credential
		c.Policy = c.Policy.WithSpread(spread)
		f.file(i)
	}
}

// sweep runs one night's sweep and returns the number of replaced passwords.
func (f *fleet) sweep(day int) int {
	f.fall(day)
	shown := f.waiting
	if f.whole {
		shown = f.all()
	}
	now := epoch.Add(time.Duration(day)*aDay + 3*time.Hour + time.Duration(f.chance.Int64N(int64(jitter))))
	return f.rotate(now, shown, sweep.Selection{Limit: f.limit})
}

// rotateAll is an emergency run at noon.
func (f *fleet) rotateAll(day int) {
	now := epoch.Add(time.Duration(day)*aDay + 12*time.Hour)
	f.calendar = map[int][]int{}
	f.rotate(now, f.all(), sweep.Selection{All: true, RotatedBefore: now})
}

// rotate executes the plan for the given tenants. Tenants that it leaves out wait.
func (f *fleet) rotate(now time.Time, shown []int, sel sweep.Selection) int {
	index := make(map[string]int, len(shown))
	candidates := make([]rotator.Candidate, len(shown))
	for at, i := range shown {
		candidates[at], index[f.tenants[i].Name] = f.tenants[i], i
	}
	f.waiting = nil
	rotated := 0
	for _, d := range sweep.Plan(now, candidates, sel) {
		if d.Action != rotator.Rotate {
			f.waiting = append(f.waiting, index[d.Name])
			continue
		}
		at := now.Add(time.Duration(rotated) * pace)
		age, _ := d.Credential.Age(at)
		f.oldest = max(f.oldest, age)
		f.made(index[d.Name], at)
		rotated++
	}
	return rotated
}

// fall moves tenants that are due up to the day to the waiting ones.
func (f *fleet) fall(day int) {
	for d := 0; len(f.calendar) > 0 && d <= day; d++ {
		f.waiting = append(f.waiting, f.calendar[d]...)
		delete(f.calendar, d)
	}
}

// overdue is the number of overdue tenants at the start of the day's night.
func (f *fleet) overdue(day int) int {
	midnight := epoch.Add(time.Duration(day) * aDay)
	n := 0
	for _, i := range f.waiting {
		if rotator.StatusOf(midnight, f.tenants[i], 1).PolicyState(midnight, f.nights) == rotator.PolicyStateOverdue {
			n++
		}
	}
	return n
}

func (f *fleet) all() []int {
	all := make([]int, len(f.tenants))
	for i := range all {
		all[i] = i
	}
	return all
}

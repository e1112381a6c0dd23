package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// steppedClock is the clock of a host on which somebody sets the time. The shipped
// program has no hook for that: the run compiles another one whose clock adds an offset
// from a file.
type steppedClock struct {
	file string
}

func (c steppedClock) changes() []change {
	return []change{
		{
			file: "rotator/clock.go",
			old:  "func (SystemClock) Now() time.Time { return time.Now() }",
			new:  "func (SystemClock) Now() time.Time { return time.Now().Round(0).Add(steppedBy()) }",
		},
		{file: "rotator/stepped.go", new: fmt.Sprintf(`package rotator

import (
	"os"
	"strconv"
	"time"
)

func steppedBy() time.Duration {
	text, _ := os.ReadFile(%q)
	by, _ := strconv.ParseInt(string(text), 10, 64) // no file: a correct clock
	return time.Duration(by)
}
`, c.file)},
	}
}

// step sets the clock: correct, or off by up to four minutes, or so far off that no
// sweep may start. The program does not correct offsets below two seconds, since
// Vault's time has whole seconds; with claims as short as here it promises nothing for
// them.
func (c steppedClock) step(rng *rand.Rand) (kind string, err error) {
	by, kind := time.Duration(0), "steps to the right time"
	switch n := rng.IntN(10); {
	case n < 6:
		by, kind = between(rng, 5*time.Second, 4*time.Minute), "steps within 4 minutes"
	case n < 8:
		by, kind = between(rng, 6*time.Minute, 15*time.Minute), "steps beyond 5 minutes"
	}
	if rng.IntN(2) == 0 {
		by = -by
	}
	return kind, c.set(by)
}

// set replaces the file atomically: the program must not read half of it.
func (c steppedClock) set(by time.Duration) error {
	fresh := c.file + ".new"
	if err := os.WriteFile(fresh, []byte(strconv.FormatInt(int64(by), 10)), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, c.file)
}

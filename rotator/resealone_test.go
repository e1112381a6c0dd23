package rotator_test

import (
	"bytes"
	"context"
	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// With rotations, faults and deaths beside it, a reseal never makes Vault and Mailu
// differ, and never affects a rotation.
func TestAResealBesideRotationsBreaksNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newFixture(t)
		ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize), 2: bytes.Repeat([]byte{2}, crypto.KeySize)})
		if err != nil {
			t.Fatal(err)
		}
		h.ring = ring
		h.disturb(t, rt, h.checkInvariant)
		disturb := h.store.Hook
		h.store.Hook = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op == rotatortest.OpWrite && rapid.IntRange(0, 7).Draw(rt, "a reseal comes first") == 0 {
				hooks := h.store.Hook
				h.store.Hook = nil
				h.reseal(t, "reseal in between")
				h.store.Hook = hooks
			}
			return disturb(c)
		}

		for range rapid.IntRange(1, 3).Draw(rt, "runs") {
			if owner := rapid.SampledFrom([]string{"daemon", "second host", "reseal"}).Draw(rt, "process"); owner == "reseal" {
				h.reseal(t, owner)
			} else {
				h.rotate(t, owner)
			}
			h.checkInvariant(t)
			h.clock.Advance(time.Duration(rapid.IntRange(0, int(2*ttl)).Draw(rt, "time passes")))
		}

		h.undisturbed()
		h.clock.Advance(ttl)
		if result := h.rotate(t, "last"); result.Err != nil {
			t.Fatalf("an undisturbed run failed: %v", result.Err)
		}
		h.checkAtRest(t)
	})
}

func (h *fixture) reseal(t testing.TB, owner string) (result rotator.Result) {
	t.Helper()
	process := h.process(owner)
	rotatortest.Survive(func() {
		doc, err := h.store.Read(t.Context(), tenantA)
		if err != nil {
			result.Err = err
			return
		}
		c, err := rotator.ParseCredential(tenantA, doc, process.DefaultPolicy)
		if err != nil {
			t.Fatalf("the record became malformed: %v", err)
		}
		result = process.Reseal(context.Background(), c, 2)
	})
	return result
}

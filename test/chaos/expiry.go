package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// The states of records whose newest version Vault has deleted.
const (
	vanished             = "vanished"
	vanishedHalfFinished = "vanished half-finished"
)

// expire sets delete_version_after on some records, and undeletes the newest version of
// an expired one after some time. The setting stays, so a record expires again after
// its rotation.
func (s *stage) expire(ctx context.Context, rng *rand.Rand) {
	var expiring []*tenant
	for _, t := range s.tenants {
		if t.expires {
			expiring = append(expiring, t)
		}
	}
	set := map[*tenant]bool{}
	for ctx.Err() == nil && len(expiring) > 0 {
		pause(ctx, between(rng, 100*time.Millisecond, time.Second))
		t := expiring[rng.IntN(len(expiring))]
		if !set[t] {
			// Often short enough to expire between the steps of a rotation.
			set[t] = s.deleteAfter(ctx, t, time.Second<<rng.IntN(5)) == nil
			continue
		}
		rec, err := s.eyes.read(ctx, t.id, 0)
		if !errors.Is(err, errDeleted) || s.eyes.undelete(ctx, t.id, rec.version) != nil {
			continue
		}
		t.note(fmt.Sprintf("chaos  version %d had deleted itself and is brought back", rec.version))
		if rec, err = s.eyes.read(ctx, t.id, rec.version); err == nil {
			what := vanished
			if rec.pending != "" {
				what = vanishedHalfFinished
			}
			s.tally.add("expiry", what)
		}
	}
}

// endExpiry runs doctor to find the records that delete themselves, or have done so,
// and executes its commands.
func (s *stage) endExpiry(ctx context.Context) error {
	_, output, err := s.runProgram(ctx, "doctor", "--output", "json")
	if err != nil {
		return err
	}
	var diagnosis struct {
		Records struct {
			Flaws []struct{ Tenant, Kind, Fix string }
		}
	}
	if err := json.Unmarshal([]byte(output), &diagnosis); err != nil {
		return fmt.Errorf("read what doctor printed: %w:\n%s", err, output)
	}
	for _, flaw := range diagnosis.Records.Flaws {
		if !slices.Contains([]string{"expired", "vanishes", "expires"}, flaw.Kind) {
			continue
		}
		if err := s.carryOut(ctx, flaw.Fix); err != nil {
			return fmt.Errorf("tenant %s, %s: %w", flaw.Tenant, flaw.Fix, err)
		}
		s.tally.add("expiry", "ended as doctor says: "+flaw.Kind)
	}
	for _, t := range s.tenants {
		if !t.expires {
			continue
		}
		if err := s.bringBack(ctx, t); err != nil {
			return fmt.Errorf("bring %s back: %w", t.id, err)
		}
	}
	return nil
}

// bringBack handles what the program cannot see: the setting of a record that was
// undeleted and not written since; and that such a record has deleted itself again,
// which looks like a manual deletion.
func (s *stage) bringBack(ctx context.Context, t *tenant) error {
	if err := s.deleteAfter(ctx, t, 0); err != nil {
		return err
	}
	rec, err := s.eyes.read(ctx, t.id, 0)
	if !errors.Is(err, errDeleted) {
		return err
	}
	s.tally.add("expiry", "ended by an undelete alone")
	return s.eyes.undelete(ctx, t.id, rec.version)
}

func (s *stage) deleteAfter(ctx context.Context, t *tenant, life time.Duration) error {
	return s.eyes.kv.PatchMetadata(ctx, s.eyes.layout.Path(t.id), api.KVMetadataPatchInput{DeleteVersionAfter: &life})
}

// expiryEnded matches doctor's command, with the engine's mount, the record's mount and
// path, and the version. The vault that is built here has no such commands, so this run
// executes them through the API.
var expiryEnded = regexp.MustCompile(`^vault write (\S+)/config delete_version_after=0s` +
	` && vault kv metadata patch -delete-version-after=0s -mount=(\S+) (\S+)` +
	` && vault kv undelete -versions=(\d+) -mount=(\S+) (\S+)$`)

func (s *stage) carryOut(ctx context.Context, command string) error {
	said := expiryEnded.FindStringSubmatch(command)
	if said == nil {
		return errors.New("doctor says something else by now: follow it")
	}
	version, err := strconv.Atoi(said[4])
	if err != nil {
		return err
	}
	if _, err := s.root.Logical().WriteWithContext(ctx, said[1]+"/config", map[string]any{"delete_version_after": "0s"}); err != nil {
		return err
	}
	if err := s.root.KVv2(said[2]).PatchMetadata(ctx, said[3], api.KVMetadataPatchInput{DeleteVersionAfter: new(time.Duration)}); err != nil {
		return err
	}
	return s.root.KVv2(said[5]).Undelete(ctx, said[6], []int{version})
}

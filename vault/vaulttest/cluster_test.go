package vaulttest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailu-rotator/vault/vaulttest"
)

// cluster runs a cluster with the default layout and one secret.
func cluster(t *testing.T) (*vaulttest.Cluster, string) {
	t.Helper()
	c := vaulttest.RunCluster(t, vaulttest.ClusterOptions{})
	leader := leaderOf(t, c)
	layout := vaulttest.DefaultLayout()
	if err := leader.Provision(t.Context(), layout); err != nil {
		t.Fatal(err)
	}
	path := layout.Path(tenant)
	eventually(t, func() error { // it may just have lost the lead
		return leader.Put(t.Context(), path, map[string]any{"username": "admin@example.com"})
	})
	return c, path
}

func leaderOf(t *testing.T, c *vaulttest.Cluster) *vaulttest.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// eventually repeats an attempt until it succeeds.
func eventually(t *testing.T, attempt func() error) {
	t.Helper()
	var err error
	for late := time.Now().Add(time.Minute); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		if err = attempt(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// One cluster for all: a start takes seconds.
func TestCluster(t *testing.T) {
	c, path := cluster(t)
	wantSecret := func(t *testing.T, s *vaulttest.Server) {
		t.Helper()
		eventually(t, func() error { _, _, err := s.Get(t.Context(), path); return err })
		wantUsername(t, s, path)
	}

	t.Run("standbys forward", func(t *testing.T) {
		for _, s := range c.Nodes {
			wantSecret(t, s)
		}
	})
	t.Run("the secret survives a killed leader", func(t *testing.T) {
		leader := leaderOf(t, c)

		leader.Kill()

		if err := leader.Provision(t.Context(), vaulttest.DefaultLayout()); err != nil {
			t.Errorf("what all nodes share is not prepared by another node: %v", err)
		}
		if next := leaderOf(t, c); next == leader {
			t.Error("the killed node leads")
		}
		wantSecret(t, leaderOf(t, c))
		if err := c.Return(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		wantSecret(t, leader)
	})
	t.Run("a sealed node is replaced", func(t *testing.T) {
		leader := leaderOf(t, c)

		if err := leader.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}

		if next := leaderOf(t, c); next == leader {
			t.Error("the sealed node leads")
		}
		if _, _, err := leader.Get(t.Context(), path); err == nil {
			t.Error("a sealed node answers")
		}
		if err := leader.Unseal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Await(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an isolated leader loses the lead", func(t *testing.T) {
		leader := leaderOf(t, c)
		defer c.Heal() // also for the next tests if this one fails

		if err := c.Isolate(leader); err != nil {
			t.Fatal(err)
		}

		eventually(t, func() error {
			if next := leaderOf(t, c); next == leader {
				return errors.New("the isolated node leads")
			}
			return nil
		})
		wantSecret(t, leaderOf(t, c))
		if _, _, err := leader.Get(t.Context(), path); err == nil {
			t.Error("the isolated node answers")
		}
		c.Heal()
		wantSecret(t, leader)
	})
	t.Run("a paused leader loses the lead", func(t *testing.T) {
		leader := leaderOf(t, c)

		if err := leader.Pause(); err != nil {
			t.Fatal(err)
		}

		if next := leaderOf(t, c); next == leader {
			t.Error("the paused node leads")
		}
		if err := leader.Continue(); err != nil {
			t.Fatal(err)
		}
		wantSecret(t, leader)
	})
	t.Run("a snapshot brings back what was", func(t *testing.T) {
		snapshot, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := leaderOf(t, c).Put(t.Context(), path, map[string]any{"username": "other@example.com"}); err != nil {
			t.Fatal(err)
		}

		if err := c.Restore(t.Context(), snapshot); err != nil {
			t.Fatal(err)
		}

		for _, s := range c.Nodes {
			wantSecret(t, s)
		}
	})
	// Last: if raft elects it again, Vault keeps it from serving for ten seconds.
	t.Run("a leader steps down", func(t *testing.T) {
		next, err := c.StepDown(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantSecret(t, next)
	})
}

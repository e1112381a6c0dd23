package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// rotations measures an emergency run at its limits: Mailu answers immediately. The
// unavoidable costs are a read and two writes in Vault and a key derivation.
func (b *bench) rotations(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: b.size.Rotate})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "rotate", tenants: b.size.Rotate, age: old, mailus: origins, verify: "none", apart: true}
	if err := b.prepare(ctx, f); err != nil {
		return err
	}
	var program, vault, others series // microseconds of processor time per rotation
	taken, err := b.interleave(ctx,
		func(ctx context.Context) (float64, error) {
			before := b.cpu(mailu)
			s, err := b.runNow(ctx, f)
			after := b.cpu(mailu)
			program = append(program, s.cpuEach(f.tenants))
			vault = append(vault, swept{cpu: after[0] - before[0]}.cpuEach(f.tenants))
			others = append(others, swept{cpu: after[1] - before[1]}.cpuEach(f.tenants))
			return s.perSecond(f.tenants), err
		},
		func(ctx context.Context) (float64, error) {
			s, err := b.baselineOnce(ctx, "rotate", f)
			return s.perSecond(f.tenants), err
		},
		func(ctx context.Context) (float64, error) {
			c, err := b.compute(ctx)
			b.found.Costs = c
			return float64(ownCores()) / c.Derivation.Seconds(), err
		})
	if err != nil {
		return err
	}
	ceilings := make(series, len(taken[1]))
	for i := range ceilings {
		ceilings[i] = min(taken[1][i], taken[2][i])
	}
	b.found.Costs.Vault = taken[1].median()
	b.add(row{
		Key: "rotations", What: fmt.Sprintf("rotations/s, Mailu cost zero, verify none, %s tenants", count(f.tenants)),
		Against: fmt.Sprintf("min(Vault's ceiling for 1 read + 2 writes: %s/s, cores ÷ key derivation: %s/s)",
			figure(b.found.Costs.Vault), figure(taken[2].median())),
		Unit: "/s", Target: 0.85, Tolerance: 0.15, Tenants: f.tenants, Servers: len(origins),
		Note: fmt.Sprintf("a rotation costs the program %.1f ms of processor time, Vault %.1f ms and the Mailu servers %.1f ms; "+
			"a key derivation takes %.1f ms while every core derives",
			program.median()/1000, vault.median()/1000, others.median()/1000, b.found.Costs.Derivation.Seconds()*1000),
	}.compared(taken[0], ceilings, ratios(taken[0], ceilings)))
	return nil
}

// cpu is the processor time of Vault and another process so far.
func (b *bench) cpu(other *process) [2]time.Duration {
	return [2]time.Duration{cpuOf(b.vault.PID()), cpuOf(other.cmd.Process.Pid)}
}

// emergency measures a run over servers that take the observed time for each password.
// The bound is their limit: concurrency divided by that time.
func (b *bench) emergency(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Waiting, Hashing: hashing, Users: b.size.Emergency})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "emergency", tenants: b.size.Emergency, age: old, mailus: origins}
	taken, bound, err := b.runsAgainst(ctx, f, func(ctx context.Context) (float64, error) {
		cost, err := b.costOfAPush(ctx, origins[0])
		return float64(f.tenants) * cost.Seconds() / float64(len(origins)*maxConcurrent), err
	})
	if err != nil {
		return err
	}
	b.add(row{
		Key: "emergency", What: fmt.Sprintf("emergency run, %s tenants on %d servers, %s for each password", count(f.tenants), len(origins), hashing),
		Against: fmt.Sprintf("N × cost ÷ (S × max_concurrent), %d × the %s that a push takes by itself ÷ (%d × %d)",
			f.tenants, time.Duration(bound.median()*float64(len(origins)*maxConcurrent)/float64(f.tenants)*float64(time.Second)).Round(100*time.Microsecond),
			len(origins), maxConcurrent),
		Unit: "s", Target: 0.95, Tolerance: 0.15, Tenants: f.tenants, Servers: len(origins),
	}.compared(taken, bound, ratios(bound, taken)))
	return nil
}

// proof measures a run on one Mailu server that computes each hash with a real Mailu's
// 12 rounds, one request at a time. The program, which proves each password by another
// such hash, has other cores. The baseline is the bare pushes.
func (b *bench) proof(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: 1, Users: b.size.Proof, Rounds: 12})
	if err != nil {
		return err
	}
	defer mailu.kill()
	f := &fleet{prefix: "proof", tenants: b.size.Proof, age: old, mailus: origins, atATime: 1, apart: true}
	taken, pushes, err := b.runsAgainst(ctx, f, func(ctx context.Context) (float64, error) {
		took, err := b.pushes(ctx, origins[0], f.tenants)
		return took.Seconds(), err
	})
	if err != nil {
		return err
	}
	b.add(row{
		Key: "proof", What: fmt.Sprintf("emergency run with proof, %d tenants on one server that computes its hashes", f.tenants),
		Against: "the bare pushes, one after the other", Unit: "s", Tolerance: 0.15, Tenants: f.tenants, Servers: 1,
		Note: "for each tenant the program's one core computes a hash like Mailu's and a key derivation; Vault shares the server's core",
	}.compared(taken, pushes, ratios(pushes, taken)))
	return nil
}

// runsAgainst prepares the fleet, and measures emergency runs over it and the baseline in
// turn, both in seconds.
func (b *bench) runsAgainst(ctx context.Context, f *fleet, baseline measure) (taken, base series, err error) {
	if err := b.prepare(ctx, f); err != nil {
		return nil, nil, err
	}
	all, err := b.interleave(ctx,
		func(ctx context.Context) (float64, error) {
			s, err := b.runNow(ctx, f)
			return s.took.Seconds(), err
		}, baseline)
	if err != nil {
		return nil, nil, err
	}
	return all[0], all[1], nil
}

// costOfAPush is the time of one push on an otherwise idle server.
func (b *bench) costOfAPush(ctx context.Context, origin string) (time.Duration, error) {
	const times = 10
	took, err := b.pushes(ctx, origin, times)
	return took / times, err
}

// pushes returns the time of a number of pushes for one user, one after the other.
func (b *bench) pushes(ctx context.Context, origin string, times int) (time.Duration, error) {
	begun := time.Now()
	for range times {
		if err := b.push(ctx, origin+"/api/v1/user/"+userOf(0)); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

func (b *bench) push(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, url, strings.NewReader(`{"raw_password": "Another-password.of.the.benchmark"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", mailuToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.http.Do(req)
	if err != nil {
		return fmt.Errorf("push to %s: %w", url, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("push to %s: %s", url, resp.Status)
	}
	return nil
}

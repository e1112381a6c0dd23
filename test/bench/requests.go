package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
)

// requests counts in Vault's audit log the requests of a sweep and of a rotation.
func (b *bench) requests(ctx context.Context) error {
	mailu, origins, err := b.startMailus(ctx, mailuTask{Servers: b.size.Servers, Users: b.size.Requests})
	if err != nil {
		return err
	}
	defer mailu.kill()
	n := b.size.Requests
	for _, m := range []struct {
		key, what string
		fleet     *fleet
		run       func(context.Context, *fleet) (swept, error)
		want      float64
	}{
		{"requests-scan", "Vault requests per tenant: scan", &fleet{prefix: "audit-scan", tenants: n, age: young, mailus: origins}, b.scanOnce, 1},
		{"requests-rotation", "Vault requests per tenant: rotation", &fleet{prefix: "audit-rotate", tenants: n, age: old, mailus: origins}, b.runNow, 3},
	} {
		if err := b.prepare(ctx, m.fleet); err != nil {
			return err
		}
		counted, err := b.audited(ctx, m.fleet.prefix, func(ctx context.Context) error {
			_, err := m.run(ctx, m.fleet)
			return err
		})
		if err != nil {
			return err
		}
		perTenant := float64(counted.records) / float64(n)
		b.add(row{
			Key: m.key, What: m.what, Against: "Vault's audit log", Unit: "requests", Measured: perTenant, Baseline: m.want,
			Ratio: m.want / perTenant, Target: 1, Tenants: n,
			Note: fmt.Sprintf("and %d for the list, whatever the number of tenants", counted.lists),
		})
	}
	return nil
}

// counted is the content of an audit log.
type counted struct {
	records, lists int // under the prefix
	others         int // of logins and of what a process reads once
}

// audited calls do with Vault's audit log on, and counts the requests under a prefix.
func (b *bench) audited(ctx context.Context, prefix string, do func(context.Context) error) (c counted, err error) {
	log := b.dir + "/audit.log"
	device := &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": log, "elide_list_responses": "true"}}
	if err := b.root.Sys().EnableAuditWithOptionsWithContext(ctx, "bench", device); err != nil {
		return c, fmt.Errorf("turn vault's audit log on: %w", err)
	}
	defer os.Remove(log)
	err = do(ctx)
	// Turn it off in any case: it would slow down the next measurement.
	if off := b.root.Sys().DisableAuditWithContext(context.WithoutCancel(ctx), "bench"); err == nil && off != nil {
		err = fmt.Errorf("turn vault's audit log off: %w", off)
	}
	if err != nil {
		return c, err
	}
	return countAudit(log, prefix)
}

// countAudit counts requests, not answers.
func countAudit(log, prefix string) (c counted, err error) {
	file, err := os.Open(log)
	if err != nil {
		return c, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var entry struct {
			Type    string
			Request struct{ Path string }
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			return c, fmt.Errorf("read vault's audit log: %w", err)
		}
		switch path := entry.Request.Path + "/"; {
		case entry.Type != "request":
		case strings.HasPrefix(path, "vault/data/"+prefix+"/"):
			c.records++
		case strings.HasPrefix(path, "vault/metadata/"+prefix+"/"):
			c.lists++
		case !strings.HasPrefix(path, "sys/audit/") && !strings.HasPrefix(path, "vault/"):
			c.others++
		}
	}
	return c, lines.Err()
}

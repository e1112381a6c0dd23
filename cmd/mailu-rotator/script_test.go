package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the specifications of the command line, one feature a file. Each
// script has its own site, so that all of them share one Vault. The additional commands
// are in scriptcmd_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // rewrites golden files
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     cmdExits,
			"reveals":   cmdReveals,
			"vault":     cmdVault,
			"mailu":     cmdMailu,
			"seed":      cmdSeed,
			"adopt":     cmdAdopt,
			"put":       cmdPut,
			"config":    cmdConfig,
			"fault":     cmdFault,
			"requests":  cmdRequests,
			"accepts":   about((*site).accepts),
			"removed":   about((*site).removed),
			"rotated":   about((*site).rotated),
			"finished":  about((*site).finished),
			"untouched": about((*site).untouched),
			"holds":     cmdHolds,
			"history":   cmdHistory,
			"agree":     cmdAgree,
			"json":      cmdJSON,
			"field":     cmdField,
			"normalize": cmdNormalize,
			"logs":      cmdLogs,
		},
	})
}

type siteKey struct{}

func setUpScript(env *testscript.Env) error {
	s := shared.newSite(env.WorkDir)
	env.Values[siteKey{}] = s
	env.Setenv("PATH", filepath.Dir(s.binary)+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Setenv("SITE", s.name)
	env.Setenv("VAULT", s.vault.Addr)
	env.Defer(func() {
		if err := s.leave(); err != nil {
			env.T().Fatal(err)
		}
	})
	return nil
}

func siteOf(ts *testscript.TestScript) *site { return ts.Value(siteKey{}).(*site) }

// about makes a command that checks each named tenant.
func about(check func(*site, context.Context, *tenant) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, names []string) {
		if neg || len(names) == 0 {
			ts.Fatalf("usage: name the tenants; there is no negation")
		}
		s := siteOf(ts)
		for _, name := range names {
			t := s.tenants[name]
			if t == nil {
				ts.Fatalf("no tenant %s was seeded", name)
			}
			ts.Check(check(s, context.Background(), t))
		}
	}
}

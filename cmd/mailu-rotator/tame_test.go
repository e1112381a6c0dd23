package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdTame copies a report and replaces everything that differs from run to run by
// names, so that it can be compared with a golden file: $NAME for tenants and Mailu
// servers, $VAULT, TIME, DATE, AGE, DURATION, SITE and VERSION.
func cmdTame(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tame file copy")
	}
	tame := siteOf(ts).tame(ts.ReadFile(args[0]))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(tame), 0o600))
}

func (s *site) tame(text string) string {
	for _, t := range s.tenants {
		text = strings.ReplaceAll(text, t.id, "$"+t.name)
	}
	for _, m := range s.mailus {
		text = strings.ReplaceAll(text, m.Origin(), "$"+m.name)
	}
	text = strings.ReplaceAll(text, s.vault.Addr, "$VAULT")
	for _, rule := range []struct{ variable, name string }{
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`\d{4}-\d\d-\d\d`, "DATE"},
		{`"(age|left|oldest)_seconds": -?\d+`, `"${1}_seconds": AGE`},
		{`  -?\d+(d|h|m\d+s|s)  `, "  AGE  "},
		{`\bsite-\d+\b`, "SITE"},
		{`(Vault|OpenBao) v?\d[\w.+-]*`, "$1 VERSION"},
		{`a token for \w+`, "a token for DURATION"},
		{` in [\d.]+m?s\b`, " in DURATION"},
		{`(\S)  +`, "$1  "}, // the width of a column follows its longest cell
		{`(?m) +$`, ""},
	} {
		text = regexp.MustCompile(rule.variable).ReplaceAllString(text, rule.name)
	}
	return text
}

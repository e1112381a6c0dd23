package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/rogpeppe/go-internal/testscript"

	"mailu-rotator/mailu/mailutest"
)

// cmdExits runs a program and checks its exact exit status:
//
//	exits 2 mailu-rotator --run-now -c config.yaml
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status program [arg...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	for _, stream := range []string{"stdout", "stderr"} {
		text := ts.ReadFile(stream)
		siteOf(ts).ledger.record(ts.Name()+" "+stream, func() string { return text })
	}
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdVault changes the script's part of Vault with the root token:
//
//	vault                        a mount named $SITE, and a token with the least policy
//	vault own-key                the same, and a master key named $SITE
//	vault write PATH [k=v...]    as the command of Vault
//	vault mount PATH VERSION     a KV engine
//	vault token POLICY           another token for the program
//	vault policy NAME FILE       a policy
//	vault operator FILE          a token with the policy in FILE in $VAULT_TOKEN
//	vault approle FILE           an AppRole with the policy in FILE for the program
func cmdVault(ts *testscript.TestScript, neg bool, args []string) {
	s, ctx := siteOf(ts), context.Background()
	switch {
	case neg:
		ts.Fatalf("vault cannot be negated")
	case len(args) == 0:
		ts.Check(s.provision(ctx))
	case args[0] == "own-key" && len(args) == 1:
		s.key = s.name
		ts.Check(s.provision(ctx))
	case args[0] == "write" && len(args) > 1:
		_, values, err := split(args[2:])
		ts.Check(err)
		_, err = s.root.Logical().WriteWithContext(ctx, args[1], values)
		ts.Check(err)
	case args[0] == "mount" && len(args) == 3:
		ts.Check(s.root.Sys().MountWithContext(ctx, args[1], &api.MountInput{Type: "kv", Options: map[string]string{"version": args[2]}}))
	case args[0] == "policy" && len(args) == 3:
		ts.Check(s.vault.WritePolicy(ctx, args[1], ts.ReadFile(args[2])))
	case args[0] == "token" && len(args) == 2:
		ts.Check(s.issueToken(ctx, args[1]))
	case args[0] == "operator" && len(args) == 2:
		ts.Check(s.vault.WritePolicy(ctx, s.name+"-operator", ts.ReadFile(args[1])))
		token, err := s.vault.Token(ctx, s.name+"-operator")
		ts.Check(err)
		s.ledger.addToken("operator's token", token)
		ts.Setenv("VAULT_TOKEN", token)
	case args[0] == "approle" && len(args) == 2:
		ts.Check(s.vault.WritePolicy(ctx, s.name+"-printed", ts.ReadFile(args[1])))
		ts.Check(s.enableAppRole(ctx, s.name+"-printed"))
	default:
		ts.Fatalf("unknown: vault %v", args)
	}
}

// cmdMailu starts a Mailu server, whose origin is then $NAME, and does what its
// administrator can do:
//
//	mailu start NAME
//	mailu start-without-api NAME
//	mailu exchange-token NAME    the program keeps the former one
//	mailu stop NAME
//	mailu user NAME ADDRESS      a user whose password no record has
//	mailu domain NAME DOMAIN     a domain without users
//	mailu fix NAME              ends the faults
//	mailu flag NAME ADDRESS FLAG true|false
func cmdMailu(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mailu start|start-without-api|exchange-token|stop|user|domain|fix|flag name [of what]")
	}
	s := siteOf(ts)
	switch args[0] {
	case "start", "start-without-api":
		m, err := s.startMailuWith(args[1], mailutest.Config{APIDisabled: args[0] != "start"})
		ts.Check(err)
		ts.Setenv(args[1], m.Origin())
		return
	}
	m, err := s.mailu(args[1])
	ts.Check(err)
	switch {
	case args[0] == "exchange-token":
		s.ledger.addToken("exchanged token of "+m.name, "exchanged/"+m.Token())
		m.SetToken("exchanged/" + m.Token())
	case args[0] == "stop":
		m.Close()
	case args[0] == "user" && len(args) == 3:
		m.AddUser(args[2], "set by hand")
	case args[0] == "domain" && len(args) == 3:
		m.AddDomain(args[2])
	case args[0] == "flag" && len(args) == 5:
		on, err := strconv.ParseBool(args[4])
		ts.Check(err)
		m.SetFlag(args[2], args[3], on)
	case args[0] == "fix":
		m.ClearFaults()
	default:
		ts.Fatalf("unknown: mailu %v", args)
	}
}

// cmdAdopt makes a tenant that the program has added known to the script's checks;
// $NAME is then its id.
func cmdAdopt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: adopt name id mailu user")
	}
	m, err := siteOf(ts).mailu(args[2])
	ts.Check(err)
	siteOf(ts).tenants[args[0]] = &tenant{name: args[0], id: args[1], mailu: m, user: args[3], version: 1}
	ts.Setenv(args[0], args[1])
}

// cmdSeed creates a tenant, see site.seed; $NAME is then its id.
func cmdSeed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: seed name [key=value...]")
	}
	s := siteOf(ts)
	ts.Check(s.seed(context.Background(), args[0], args[1:]...))
	ts.Setenv(args[0], s.tenants[args[0]].id)
}

// cmdPut writes a record with any name under the prefix that is no tenant's.
func cmdPut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: put name [key=value...]")
	}
	_, fields, err := split(args[1:])
	ts.Check(err)
	s := siteOf(ts)
	_, err = s.root.KVv2(s.layout().Mount).Put(context.Background(), s.layout().Path(args[0]), fields)
	ts.Check(err)
}

// cmdConfig writes config.yaml, see site.writeConfig.
func cmdConfig(ts *testscript.TestScript, neg bool, settings []string) {
	if neg {
		ts.Fatalf("config cannot be negated")
	}
	ts.Check(siteOf(ts).writeConfig(settings...))
}

// cmdFault makes a Mailu server answer with a status, without effect:
//
//	fault one PATCH 403
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fault mailu method status")
	}
	m, err := siteOf(ts).mailu(args[0])
	ts.Check(err)
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	m.Inject(mailutest.Fault{Kind: mailutest.Status, Method: args[1], Status: status})
}

// cmdRequests counts the requests to a Mailu server: requests one PATCH 0.
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: requests mailu method count")
	}
	m, err := siteOf(ts).mailu(args[0])
	ts.Check(err)
	if got := strconv.Itoa(m.Count(args[1])); got != args[2] {
		ts.Fatalf("%s got %s %s requests, want %s", args[0], got, args[1], args[2])
	}
}

// cmdLogs checks that a file holds only JSON log lines, and at least one of them.
func cmdLogs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: logs file")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var entry struct{ Level, Time, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" || entry.Time == "" || entry.Msg == "" {
			ts.Fatalf("not a log line: %s", line)
		}
	}
	if ts.ReadFile(args[0]) == "" {
		ts.Fatalf("no log line at all")
	}
}

// cmdJSON sets a variable to a field of the report on stdout:
//
//	json rotated_before CUTOFF
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: json field variable")
	}
	var report map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	value, isText := report[args[0]].(string)
	if !isText {
		ts.Fatalf("the report has no text %s", args[0])
	}
	ts.Setenv(args[1], value)
}

// cmdField compares a field of a tenant's current record in Vault:
//
//	field acme key_version 2
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field tenant field value")
	}
	s := siteOf(ts)
	secret, err := s.root.KVv2(s.layout().Mount).Get(context.Background(), s.layout().Path(s.tenants[args[0]].id))
	ts.Check(err)
	if got := fmt.Sprint(secret.Data[args[1]]); got != args[2] {
		ts.Fatalf("%s of %s is %s, want %s", args[1], args[0], got, args[2])
	}
}

// cmdReveals runs a program that must print one password of one tenant, and no other
// secret:
//
//	reveals acme first|begun mailu-rotator show $acme --reveal
//
// Its other output is in shown.txt.
func cmdReveals(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: reveals tenant first|begun program [arg...]")
	}
	s, t := siteOf(ts), tenantOf(ts, args[0])
	want, known := map[string]string{"first": t.first, "begun": t.begun}[args[1]]
	if !known || want == "" {
		ts.Fatalf("%s has no %s password", t.name, args[1])
	}
	ts.Check(ts.Exec(args[2], args[3:]...))
	stderr := ts.ReadFile("stderr")
	s.ledger.record(ts.Name()+" stderr", func() string { return stderr })
	rest, err := s.ledger.recordRevealed(ts.Name()+" stdout", ts.ReadFile("stdout"), want)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("shown.txt"), []byte(rest), 0o600))
}

// recordRevealed records the output except the one place where the password was
// requested: a second one, or one in another form, is a leak. It returns the rest.
func (l *ledger) recordRevealed(by, printed, password string) (rest string, err error) {
	form := password
	if strings.HasPrefix(printed, "{") {
		if form, err = jsonForm(password); err != nil {
			return "", err
		}
	}
	before, after, found := strings.Cut(printed, form)
	if !found {
		return "", fmt.Errorf("%s: the password is not shown", by)
	}
	// A space keeps the two parts from being read as one text.
	l.record(by, func() string { return before + " " + after })
	return before + after, nil
}

// jsonForm returns a text as the program writes it in JSON, without the quotes.
func jsonForm(text string) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(text)
	return strings.Trim(strings.TrimSpace(out.String()), `"`), err
}

// cmdNormalize copies a report and replaces everything that differs from run to run by
// names, so that it can be compared with a golden file: $NAME for tenants and Mailu
// servers, $VAULT, TIME, DATE, AGE, DURATION, SITE and VERSION.
func cmdNormalize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: normalize file copy")
	}
	normalized := siteOf(ts).normalize(ts.ReadFile(args[0]))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(normalized), 0o600))
}

func (s *site) normalize(text string) string {
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

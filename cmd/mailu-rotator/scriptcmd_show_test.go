package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

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

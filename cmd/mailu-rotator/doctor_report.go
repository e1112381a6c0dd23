package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailu-rotator/internal/cluster"
	"mailu-rotator/internal/config"
	"mailu-rotator/internal/text"
	"mailu-rotator/mailu"
	"mailu-rotator/rotator"
)

// shownFlaws limits the listed flaws of a badly broken fleet; --output json has all.
const shownFlaws = 20

func printDoctorReport(out io.Writer, r *doctorReport, format string) error {
	if format == "json" {
		return encodeJSON(out, r)
	}
	var b strings.Builder
	p := newPalette("auto", out)
	width := map[string]int{}
	for _, c := range r.Checks {
		width[c.Section] = max(width[c.Section], utf8.RuneCountInString(text.Quote(c.Name)))
	}
	section := ""
	for _, c := range r.Checks {
		if c.Section != section {
			section = c.Section
			b.WriteString(p.bold(section) + "\n")
		}
		writeCheck(&b, p, c.Check, width[section])
	}
	if r.Records != nil {
		writeFlaws(&b, p, r.Records.Issues)
	}
	b.WriteString("\n" + doctorSummary(r) + "\n")
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// writeCheck prints a check in a line, more for a multi-line error, and one with the fix.
func writeCheck(b *strings.Builder, p palette, c rotator.Check, width int) {
	name := text.Quote(c.Name)
	pad := strings.Repeat(" ", width-utf8.RuneCountInString(name))
	found := strings.Split(c.Found, "\n")
	for i, line := range found {
		found[i] = text.Quote(line)
	}
	line := "  " + mark(p, c.State) + " " + name + pad + "  " + strings.Join(found, "\n      ")
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	writeFix(b, p, c.Fix)
}

func writeFix(b *strings.Builder, p palette, fix string) {
	if fix != "" {
		b.WriteString("      " + p.dim("→") + " " + text.Quote(fix) + "\n")
	}
}

func mark(p palette, state rotator.CheckState) string {
	switch state {
	case rotator.CheckOK:
		return p.green("✓")
	case rotator.CheckWarned:
		return p.yellow("!")
	case rotator.CheckFailed:
		return p.red("✗")
	}
	return p.dim("–")
}

func writeFlaws(b *strings.Builder, p palette, flaws []rotator.Issue) {
	for i, f := range flaws {
		if i == shownFlaws {
			fmt.Fprintf(b, "    … and %d more: --output json has them all\n", len(flaws)-i)
			return
		}
		state := rotator.CheckWarned
		if f.Kind.Serious() {
			state = rotator.CheckFailed
		}
		who := text.Quote(f.Tenant)
		if f.User != "" {
			who += " " + text.Quote(f.User)
		}
		fmt.Fprintf(b, "    %s %s  %s\n", mark(p, state), who, text.Quote(f.Reason))
		writeFix(b, p, f.Fix)
	}
}

func doctorSummary(r *doctorReport) string {
	var counts []string
	for _, c := range []struct {
		state rotator.CheckState
		one   string
	}{{rotator.CheckOK, "ok"}, {rotator.CheckWarned, "to look at"}, {rotator.CheckFailed, "failed"}, {rotator.CheckSkipped, "not checked"}} {
		if n := r.Summary[c.state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, c.one))
		}
	}
	line := fmt.Sprintf("checks: %s in %s", strings.Join(counts, ", "), r.Finished.Sub(r.Started).Round(10*time.Millisecond))
	switch r.Status {
	case exitCannotRun:
		line += "\na run could not take place"
	case exitFailures:
		line += "\na run could take place, but see to the tenants and servers above"
	}
	return line
}

func (d *doctor) command(args string) string { return commandLine(d.path, args) }

// commandLine returns the command line that runs this program with a configuration, and
// as the service where this process runs so: its credentials may be for that alone.
func commandLine(path, args string) string {
	program := "mailu-rotator "
	if serviceCredentials() != "" {
		program = "mailu-rotator-as-service "
	}
	if path == defaultConfigPath {
		return program + args
	}
	return program + args + " -c " + path
}

// serviceCredentials is the directory of the copies that systemd gave this process; empty
// if it did not start it with any.
func serviceCredentials() string {
	dir := getenv("CREDENTIALS_DIRECTORY")
	if !strings.HasPrefix(dir, "/run/credentials/") {
		return ""
	}
	return dir
}

// addFirst returns the command that adds the first tenant; ADDRESS stands for its user. It
// needs the operator's token: the program's own cannot create records.
func addFirst(path string, cfg *config.Config) string {
	return commandLine(path, "tenant add --first --vault-token-from-env --user ADDRESS --webmail-url "+string(cfg.Mailu.Servers[0].Origin))
}

// nothingYet describes a prefix without tenants: a new one, or not the one that was meant.
func nothingYet(v config.Vault) string {
	return fmt.Sprintf("nothing is under the prefix %q of mount %q yet", v.Prefix, v.Mount)
}

func (d *doctor) policyCommand() string {
	return d.command("policy") + " | vault policy write mailu-rotator -"
}

// fixFlaw returns the command that fixes a record; empty if none is needed.
func (d *doctor) fixFlaw(f rotator.Issue) string {
	v := d.app.cfg.Vault
	record := recordArgs(v, f.Tenant)
	switch f.Kind {
	case rotator.IssueUnread:
		return d.policyCommand()
	case rotator.IssueDeleted:
		return d.command("verify --repair --tenant " + f.Tenant)
	case rotator.IssueExpired, rotator.IssueVanishes, rotator.IssueExpires:
		return endExpiry(v.Mount, record, f.Version)
	case rotator.IssueShortHistory:
		return "vault kv metadata patch -max-versions=10 " + record
	case rotator.IssueAbsent:
		return fmt.Sprintf("vault kv list -mount=%s %s/%s", v.Mount, v.Prefix, f.Tenant)
	case rotator.IssueWithdrawn:
		return "vault kv metadata delete " + record
	case rotator.IssueMalformed:
		return fixFields(f, record)
	case rotator.IssueShared:
		return "vault kv patch " + record + " username=ANOTHER"
	case rotator.IssueUnlisted:
		if d.cluster != nil {
			return cluster.StartWorker
		}
		return "list the server under mailu.servers in " + d.path
	case rotator.IssueKeyHidden:
		return fmt.Sprintf("vault write %s/keys/%s/config min_decryption_version=1", v.Transit.Mount, v.Transit.Key)
	case rotator.IssueKeyUnknown:
		return fmt.Sprintf("restore key %s of %s/ from a backup that has the version", v.Transit.Key, v.Transit.Mount)
	case rotator.IssueSealedForm:
		return d.fixSealed(f, record)
	case rotator.IssueHalfFinished:
		return d.command("--run-now --due-only --tenant " + f.Tenant)
	case rotator.IssueOneAddress:
		return "set one api_url under mailu.servers in " + d.path
	case rotator.IssueUndated:
		if slices.Equal(f.Fields, []string{"created_at"}) { // which no rotation writes
			return fixFields(f, record)
		}
		return d.command("--run-now --tenant " + f.Tenant)
	}
	return ""
}

// endExpiry returns the commands that stop a record from deleting itself. Both the
// engine and the record can have the setting, and changing it does not affect versions
// that are already written: undeleting such a version removes its deletion time, before
// or after it has passed.
func endExpiry(mount, record string, version int) string {
	return fmt.Sprintf("vault write %s/config delete_version_after=0s && vault kv metadata patch -delete-version-after=0s %s && vault kv undelete -versions=%d %s",
		mount, record, version, record)
}

// fixFields returns the commands that correct the fields of a record. FIELD=VALUE can
// neither remove a field nor change one inside pending: that needs a JSON merge patch
// (RFC 7396), in which null removes. With check-and-set the patch changes only the
// version that was read, which no process has taken up since.
func fixFields(f rotator.Issue, record string) string {
	if slices.Contains(f.Fields, "password") { // a password cannot be sealed by hand
		return "vault kv rollback -version=VERSION " + record
	}
	var values []string
	patch, inPending, merge := map[string]any{}, map[string]any{}, false
	for _, name := range f.Fields {
		field, inner := strings.CutPrefix(name, "pending.")
		switch {
		case inner:
			inPending[field] = "VALUE"
			patch["pending"], merge = inPending, true
		case name == "pending" || name == "key_version": // without key_version every version is tried
			patch[name], merge = nil, true
		default:
			patch[name] = "VALUE"
			values = append(values, name+"=VALUE")
		}
	}
	if !merge {
		return "vault kv patch " + record + " " + strings.Join(values, " ")
	}
	text, _ := json.Marshal(patch) // never fails for strings and null
	return fmt.Sprintf("echo '%s' | vault kv patch -method=patch -cas=%d %s -", text, f.Version, record)
}

// fixSealed: a rotation replaces a current password. A pending one is removed, and its
// copy in the history is restored if Mailu holds it; without any other password, the
// addition is abandoned.
func (d *doctor) fixSealed(f rotator.Issue, record string) string {
	switch {
	case slices.Contains(f.Fields, "pending"):
		return fixFields(f, record) + " && " + d.command("verify --repair --tenant "+f.Tenant)
	case slices.Contains(f.Fields, "pending.password"):
		return "vault kv metadata delete " + record
	}
	return d.command("--run-now --tenant " + f.Tenant)
}

// fixToken names the file for the right token.
func fixToken(s config.Server, c mailu.Checked) rotator.Check {
	switch {
	case c.Unusable != nil:
		c.Fix = fixFile(c.Unusable)
	case c.WrongToken:
		host := string(s.Origin)
		if u, err := url.Parse(host); err == nil {
			host = u.Hostname()
		}
		c.Fix = fmt.Sprintf("systemd-ask-password -n 'API_TOKEN of %s:' >%s", host, s.TokenFile)
	}
	return c.Check
}

// fixCredential completes a fix that writes a credential of the service: systemd gives a
// unit copies, which end with it, so a new one belongs where they come from, and the
// daemon has it after a restart.
func (d *doctor) fixCredential(fix string) string {
	config, err := filepath.Abs(d.path)
	if err != nil {
		return fix
	}
	source := filepath.Join(filepath.Dir(config), "credentials") + "/"
	_, onHost := d.service()
	if copies := serviceCredentials(); copies != "" {
		fix, onHost = strings.ReplaceAll(fix, copies+"/", source), true
	}
	if onHost && strings.Contains(fix, source) && !strings.HasPrefix(fix, "chmod ") {
		fix += " && systemctl try-restart " + serviceUser
	}
	return fix
}

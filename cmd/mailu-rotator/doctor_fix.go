package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"mailu-rotator/internal/config"
	"mailu-rotator/mailu"
	"mailu-rotator/rotator"
)

// command returns the command line that runs this program with this configuration.
func (d *doctor) command(args string) string {
	if d.path == defaultConfigPath {
		return "mailu-rotator " + args
	}
	return "mailu-rotator " + args + " -c " + d.path
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

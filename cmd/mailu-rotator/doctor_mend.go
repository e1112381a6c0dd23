package main

import (
	"fmt"
	"net/url"

	"mailu-rotator/config"
	"mailu-rotator/mailu"
	"mailu-rotator/rotator"
)

// command is how this program is called with this configuration.
func (d *doctor) command(args string) string {
	if d.path == defaultConfigPath {
		return "mailu-rotator " + args
	}
	return "mailu-rotator " + args + " -c " + d.path
}

func (d *doctor) policyCommand() string {
	return d.command("policy") + " | vault policy write mailu-rotator -"
}

// mendFlaw is what mends a record; empty where there is nothing to mend.
func (d *doctor) mendFlaw(f rotator.Flaw) string {
	v := d.fleet.cfg.Vault
	record := recordArgs(v, f.Tenant)
	switch f.Kind {
	case rotator.FlawUnread:
		return d.policyCommand()
	case rotator.FlawDeleted:
		return d.command("verify --repair --tenant " + f.Tenant)
	case rotator.FlawAbsent:
		return fmt.Sprintf("vault kv list -mount=%s %s/%s", v.Mount, v.Prefix, f.Tenant)
	case rotator.FlawMalformed:
		return "vault kv patch " + record + " FIELD=VALUE"
	case rotator.FlawShared:
		return "vault kv patch " + record + " username=ANOTHER"
	case rotator.FlawUnlisted:
		return "list the server under mailu.servers in " + d.path
	case rotator.FlawKeyHidden:
		return fmt.Sprintf("vault write %s/keys/%s/config min_decryption_version=1", v.Transit.Mount, v.Transit.Key)
	case rotator.FlawKeyUnknown:
		return fmt.Sprintf("restore key %s of %s/ from a backup that has the version", v.Transit.Key, v.Transit.Mount)
	case rotator.FlawHalfFinished:
		return d.command("--run-now --due-only --tenant " + f.Tenant)
	case rotator.FlawUndated:
		return d.command("--run-now --tenant " + f.Tenant)
	}
	return ""
}

// mendToken names the file that the right token goes to.
func mendToken(s config.Server, c mailu.Checked) rotator.Check {
	if c.WrongToken {
		host := string(s.Origin)
		if u, err := url.Parse(host); err == nil {
			host = u.Hostname()
		}
		c.Mend = fmt.Sprintf("systemd-ask-password -n 'API_TOKEN of %s:' >%s", host, s.TokenFile)
	}
	return c.Check
}

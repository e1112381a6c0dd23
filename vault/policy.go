package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailu-rotator/rotator"
)

// Policy returns the minimal Vault policy, in HCL, for everything in this package
// except [Client.Create] and [Client.Remove]. A token also needs Vault's `default`
// policy. In a namespace the policy must be written there. Its error lists what is wrong
// with cfg.
func Policy(cfg Config) (string, error) { return policyOf(cfg, keepingRule, exportRule) }

// AddingPolicy is [Policy] plus "create", for commands that add tenants
// ([Client.Create]). The daemon does not need it.
func AddingPolicy(cfg Config) (string, error) { return policyOf(cfg, addingRule, exportRule) }

// RemovingPolicy is for the command that removes a tenant ([Client.Remove]). It lets
// nobody open a password. The daemon does not need it.
func RemovingPolicy(cfg Config) (string, error) {
	return policyOf(cfg, removingRule, func(cfg Config) string { return fmt.Sprintf(metadataText, metadataRule(cfg)) })
}

// ReadingPolicy is for other programs that read passwords: of these tenants, or of all
// if there are none. Their tokens do not need the `default` policy. Whoever may export
// the master key can open each sealed password, so the tenants limit which of them the
// program may get from Vault.
func ReadingPolicy(cfg Config, tenants ...rotator.TenantID) (string, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return "", err
	}
	if len(tenants) == 0 {
		return fmt.Sprintf(readingText, "each tenant's record", readingRule(dataRule(cfg)), exportRule(cfg)), nil
	}
	rules := make([]string, len(tenants))
	for i, tenant := range tenants {
		path, err := dataPath(cfg, tenant)
		if err != nil {
			return "", err
		}
		rules[i] = readingRule(path)
	}
	return fmt.Sprintf(readingText, "the records of these tenants", strings.Join(rules, "\n\n"), exportRule(cfg)), nil
}

func policyOf(cfg Config, rule string, last func(Config) string) (string, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(policy, listRule(cfg), fmt.Sprintf(rule, dataRule(cfg)), last(cfg)), nil
}

const policy = `# The least that mailu-rotator needs, beside Vault's default policy, which lets
# a token look up, renew and revoke itself.

# To find the tenants. It shows names only.
path %q {
  capabilities = ["list"]
}

%s

%s
`

const readingText = `# The least for a program that logs in with the passwords that mailu-rotator keeps.

# To read %s, with the earlier versions.
%s

%s
`

func readingRule(path string) string {
	return fmt.Sprintf("path %q {\n  capabilities = [\"read\"]\n}", path)
}

func exportRule(cfg Config) string { return fmt.Sprintf(exportText, exportPath(cfg)) }

const exportText = `# To read every version of the master key, which seals the passwords.
path %q {
  capabilities = ["read"]
}`

const metadataText = `# To delete a record with all its versions, for good. Only whoever removes tenants
# needs it, the daemon does not.
path %q {
  capabilities = ["delete"]
}`

const removingRule = `# To read the record of a tenant, and to take it out of the fleet by check-and-set
# before it is deleted.
path %q {
  capabilities = ["read", "update"]
}`

const keepingRule = `# To read a tenant's record, and to replace it by check-and-set. There is no
# "create" on purpose: a deleted tenant cannot come back by accident.
path %q {
  capabilities = ["read", "update"]
}`

const addingRule = `# To read a tenant's record, to replace it by check-and-set, and to make a new
# tenant's. Only whoever adds tenants needs "create", the daemon does not.
path %q {
  capabilities = ["create", "read", "update"]
}`

// dataPath returns the path of a tenant's record. It parses the name again because the
// API client joins paths: "../x" would leave the prefix.
func dataPath(cfg Config, tenant rotator.TenantID) (string, error) {
	return recordPath(cfg, "data", tenant)
}

func metadataPath(cfg Config, tenant rotator.TenantID) (string, error) {
	return recordPath(cfg, "metadata", tenant)
}

func recordPath(cfg Config, part string, tenant rotator.TenantID) (string, error) {
	id, err := rotator.ParseTenantID(string(tenant))
	if err != nil {
		return "", err
	}
	return cfg.Mount + "/" + part + "/" + cfg.Prefix + "/" + string(id) + "/" + cfg.Leaf, nil
}

func listPath(cfg Config) string { return cfg.Mount + "/metadata/" + cfg.Prefix }

func exportPath(cfg Config) string {
	return cfg.Transit.Mount + "/export/encryption-key/" + cfg.Transit.Key
}

// The paths of the policy's rules; Vault matches a list path with a final slash.

func listRule(cfg Config) string { return listPath(cfg) + "/" }

func dataRule(cfg Config) string { return cfg.Mount + "/data/" + cfg.Prefix + "/+/" + cfg.Leaf }

func metadataRule(cfg Config) string { return listPath(cfg) + "/+/" + cfg.Leaf }

// nobody is an id that no tenant has: capabilities are queried for a path, not for a
// policy's pattern.
const nobody = "00000000-0000-4000-8000-000000000000"

// requirement is what the program must be allowed to do at one path.
type requirement struct {
	name         string
	path         string // the path to query
	rule         string // of the policy
	capabilities []string
}

// checkCapabilities asks Vault, in one request, what the token may do at the paths of
// [Policy]. fix is the command that writes that policy. known is false if the token is
// not even allowed to ask.
func (c *Client) checkCapabilities(ctx context.Context, fix string) (list, data, export rotator.Check, known bool) {
	record := c.cfg.Mount + "/data/" + c.cfg.Prefix + "/" + nobody + "/" + c.cfg.Leaf
	needs := []requirement{
		{"may list tenants", listRule(c.cfg), listRule(c.cfg), []string{"list"}},
		{"may read and change records", record, dataRule(c.cfg), []string{"read", "update"}},
		{"may export the master key", exportPath(c.cfg), exportPath(c.cfg), []string{"read"}},
	}
	held, err := c.capabilities(ctx, needs[0].path, needs[1].path, needs[2].path)
	checks := make([]rotator.Check, len(needs))
	for i, n := range needs {
		if err == nil && held[n.path] == nil {
			err = fmt.Errorf("ask %s: vault's answer says nothing about %s", capabilitiesSelf, n.path)
		}
		if err != nil {
			checks[i] = rotator.Warned(n.name, "vault does not tell: "+err.Error(), "give the token Vault's default policy")
		} else {
			checks[i] = n.judge(held[n.path], fix)
		}
	}
	return checks[0], checks[1], checks[2], err == nil
}

// capabilities asks Vault, in one request, what the token may do at these paths.
func (c *Client) capabilities(ctx context.Context, paths ...string) (map[string][]string, error) {
	const asked = capabilitiesSelf
	held, err := ask[map[string][]string](ctx, c, call{verb: "ask", path: asked, rule: asked, capability: "update"}, asked, map[string]any{"paths": paths})
	if err != nil {
		return nil, err
	}
	return *held, nil
}

const capabilitiesSelf = "sys/capabilities-self"

// judge compares the required capabilities with the token's. Extra capabilities do not
// prevent a run, but the program should not have them.
func (n requirement) judge(held []string, fix string) rotator.Check {
	if slices.Contains(held, "root") { // the login has warned of it
		return rotator.Passed(n.name, "everything, at "+n.rule)
	}
	missing, more := without(n.capabilities, held), without(held, n.capabilities)
	switch {
	case len(missing) > 0:
		return rotator.Broken(n.name, fmt.Sprintf("the token may not %s at %s", strings.Join(missing, " or "), n.rule), fix)
	case len(more) > 0:
		return rotator.Warned(n.name, fmt.Sprintf("and more than is needed at %s: %s", n.rule, strings.Join(more, ", ")), fix)
	}
	return rotator.Passed(n.name, strings.Join(n.capabilities, " and ")+" at "+n.rule)
}

func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

package vault

import "fmt"

// Policy returns the minimal Vault policy, in HCL, for everything in this package
// except [Client.Create]. A token also needs Vault's `default` policy. In a namespace
// the policy must be written there. It fails for a configuration that does not pass
// [Config.Validate].
func Policy(cfg Config) (string, error) { return policyOf(cfg, keepingRule) }

// AddingPolicy is [Policy] plus "create", for commands that add tenants
// ([Client.Create]). The daemon does not need it.
func AddingPolicy(cfg Config) (string, error) { return policyOf(cfg, addingRule) }

func policyOf(cfg Config, rule string) (string, error) {
	if err := cfg.Validate(); err != nil {
		return "", fmt.Errorf("vault configuration: %w", err)
	}
	return fmt.Sprintf(policy, listRule(cfg), fmt.Sprintf(rule, dataRule(cfg)), exportPath(cfg)), nil
}

const policy = `# The least that mailu-rotator needs, beside Vault's default policy, which lets
# a token look up, renew and revoke itself.

# To find the tenants. It shows names only.
path %q {
  capabilities = ["list"]
}

%s

# To read every version of the master key, which seals the passwords.
path %q {
  capabilities = ["read"]
}
`

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

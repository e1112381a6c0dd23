package vault

import "mailu-rotator/rotator"

// dataPath returns the path of a tenant's record. It parses the name again because the
// API client joins paths: "../x" would leave the prefix.
func dataPath(cfg Config, tenant rotator.TenantID) (string, error) {
	id, err := rotator.ParseTenantID(string(tenant))
	if err != nil {
		return "", err
	}
	return cfg.Mount + "/data/" + cfg.Prefix + "/" + string(id) + "/" + cfg.Leaf, nil
}

func listPath(cfg Config) string { return cfg.Mount + "/metadata/" + cfg.Prefix }

func exportPath(cfg Config) string {
	return cfg.Transit.Mount + "/export/encryption-key/" + cfg.Transit.Key
}

// The paths of the policy's rules; Vault matches a list path with a final slash.

func listRule(cfg Config) string { return listPath(cfg) + "/" }

func dataRule(cfg Config) string { return cfg.Mount + "/data/" + cfg.Prefix + "/+/" + cfg.Leaf }

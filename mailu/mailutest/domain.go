package mailutest

import (
	"fmt"
	"net/http"
)

// domain is a row of Mailu's table domain.
type domain struct {
	maxUsers int // -1: any number
}

// AddDomain stores a domain. The domains of users from AddUser and AddUserHash exist without it.
func (s *Server) AddDomain(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addDomain(name)
}

// SetMaxUsers sets max_users of a domain, which is added if it does not exist.
func (s *Server) SetMaxUsers(name string, maxUsers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addDomain(name).maxUsers = maxUsers
}

// addDomain needs s.mu.
func (s *Server) addDomain(name string) *domain {
	key := domainKey(name)
	if s.domains[key] == nil {
		s.domains[key] = &domain{maxUsers: -1}
	}
	return s.domains[key]
}

// findDomain is api/v1/domain.py Domain.get. An invalid domain name has code 400 only in the body, and status 200.
func (s *Server) findDomain(c call, name string) answer {
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validDomain(name) {
		a := invalidDomain(name)
		if s.config.Release != Release20 {
			a.status = http.StatusOK
		}
		return a
	}
	row, found := s.showDomain(name)
	if !found {
		return unknownDomain(name)
	}
	return jsonAnswer(http.StatusOK, row)
}

// patchDomain is api/v1/domain.py Domain.patch; only max_users has an effect here.
func (s *Server) patchDomain(c call, name string) answer {
	model := map[string]string{"comment": "string", "max_users": "integer", "max_aliases": "integer", "max_quota_bytes": "integer",
		"signup_enabled": "boolean", "alternatives": "array"}
	data, refusal, ok := payload(c, model, nil)
	if !ok {
		return refusal
	}
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validDomain(name) {
		return invalidDomain(name)
	}
	if !s.hasDomain(name) {
		return unknownDomain(name)
	}
	if most, found := data["max_users"].(float64); found {
		s.SetMaxUsers(name, int(most))
	}
	return verdict(http.StatusOK, fmt.Sprintf("Domain %s has been updated", name))
}

func (s *Server) hasDomain(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.domains[domainKey(name)] != nil
}

// full reports whether the domain has max_users.
func (s *Server) full(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, most := 0, s.domains[domainKey(name)].maxUsers
	for address := range s.users {
		if domainOf(address) == domainKey(name) {
			count++
		}
	}
	return most != -1 && count >= most
}

// showDomain is the domain in the form of GET. The host of its DNS entries is mail.example.com.
func (s *Server) showDomain(name string) (row map[string]any, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, found := s.domains[domainKey(name)]
	if !found {
		return nil, false
	}
	shown := unicodeDomain(domainKey(name))
	entries := []string{}
	for _, service := range []string{"_imap._tcp", "_pop3._tcp", "_submission._tcp"} {
		entries = append(entries, fmt.Sprintf("%s.%s. 600 IN SRV 0 0 0 .", service, shown))
	}
	for _, host := range []string{"autoconfig", "autodiscover"} {
		entries = append(entries, fmt.Sprintf("%s.%s. 600 IN CNAME mail.example.com.", host, shown))
	}
	return map[string]any{
		"name": shown, "comment": "", "managers": []string{}, "max_users": d.maxUsers, "max_aliases": -1, "max_quota_bytes": 0,
		"signup_enabled": false, "alternatives": []string{}, "dns_autoconfig": entries,
		"dns_mx":   fmt.Sprintf("%s. 600 IN MX 10 mail.example.com.", shown),
		"dns_spf":  fmt.Sprintf(`%s. 600 IN TXT "v=spf1 mx a:mail.example.com ~all"`, shown),
		"dns_dkim": nil, "dns_dmarc": nil, "dns_dmarc_report": nil, "dns_tlsa": nil,
	}, true
}

func invalidDomain(name string) answer {
	return verdict(http.StatusBadRequest, fmt.Sprintf("Domain %s is not a valid domain", name))
}

func unknownDomain(name string) answer {
	return verdict(http.StatusNotFound, fmt.Sprintf("Domain %s does not exist", name))
}

package mailutest

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// AddDomain stores a domain. The domains of the users that AddUser and AddUserHash store are there without it.
func (s *Server) AddDomain(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains[strings.ToLower(name)] = true
}

// create is api/v1/user.py Users.post. The order is: payload (400, 415), token, address (400), domain (404), hash, commit.
//
// The release looks for no user of the same address and leaves it to the database: the IntegrityError of the commit is
// caught by nobody, so 500, and nothing has changed. Later releases answer 409, also where the domain has its max_users;
// that is Config.DuplicateConflict. No quota of the domain is looked at in either. What is not sent has the defaults of
// models.py.
func (s *Server) create(c call) answer {
	model := userModel()
	model["email"] = "string"
	data, refusal, ok := payload(c, model, []string{"email", "raw_password"})
	if !ok {
		return refusal
	}
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	email, password := data["email"].(string), data["raw_password"].(string)
	if !validEmail(email) {
		return verdict(http.StatusBadRequest, fmt.Sprintf("Provided email address %s is not a valid email address", email))
	}
	domain := domainOf(email)
	if !s.hasDomain(domain) {
		return verdict(http.StatusNotFound, fmt.Sprintf("Domain %s does not exist", domain))
	}
	if s.config.DuplicateConflict && s.user(email).fields != nil {
		return verdict(http.StatusConflict, fmt.Sprintf("User %s already exists", email))
	}
	hash, err := s.hash(password)
	if err != nil || !s.insert(email, hash, password, columns(data)) {
		return internalError()
	}
	return verdict(http.StatusOK, fmt.Sprintf("User %s has been created", email))
}

// findDomain is api/v1/domain.py Domain.get, but for most of domain_fields_get.
func (s *Server) findDomain(c call, domain string) answer {
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validDomain(domain) {
		return verdict(http.StatusBadRequest, fmt.Sprintf("Domain %s is not a valid domain", domain))
	}
	if !s.hasDomain(strings.ToLower(domain)) {
		return verdict(http.StatusNotFound, fmt.Sprintf("Domain %s does not exist", domain))
	}
	return jsonAnswer(http.StatusOK, map[string]any{"name": strings.ToLower(domain), "max_users": -1, "max_quota_bytes": 0})
}

// insert is false for an address that is taken.
func (s *Server) insert(email, hash, password string, fields map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.users[addressKey(email)]; taken {
		return false
	}
	row := newUserFields()
	maps.Copy(row, fields)
	s.users[addressKey(email)] = &user{hash: hash, sets: []Set{{Time: s.config.Now(), Password: password}}, fields: row}
	return true
}

func (s *Server) hasDomain(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.domains[name]
}

func domainOf(email string) string {
	return strings.ToLower(email[strings.LastIndex(email, "@")+1:])
}

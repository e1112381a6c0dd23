package mailutest

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// create is api/v1/user.py Users.post. The order is: payload (400, 415), token, address (400), domain (404), hash, commit.
// An existing user is a 409, and so is one more than the domain's max_users. 2.0 checks neither: there the database
// refuses the first, which is not caught, so 500, and accepts the second. Neither release checks the domain's quota.
// Fields that are not sent have the defaults of models.py.
func (s *Server) create(c call) answer {
	model := s.userModel()
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
		return invalidAddress(email)
	}
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	if !s.hasDomain(domain) {
		return unknownDomain(domain)
	}
	if s.config.Release != Release20 {
		switch {
		case s.full(domain):
			return verdict(http.StatusConflict, fmt.Sprintf("Too many users for domain %s", domain))
		case s.user(email).fields != nil:
			return verdict(http.StatusConflict, fmt.Sprintf("User %s already exists", email))
		}
	}
	hash, err := s.hash(password)
	if err != nil || !validDates(data) || !s.insert(email, hash, password, s.columns(data)) {
		return internalError()
	}
	return verdict(http.StatusOK, fmt.Sprintf("User %s has been created", email))
}

// insert returns false for an address that is taken.
func (s *Server) insert(email, hash, password string, fields map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.users[addressKey(email)]; taken {
		return false
	}
	row := s.newUserFields()
	maps.Copy(row, fields)
	s.users[addressKey(email)] = &user{hash: hash, sets: []Set{{Time: s.config.Now(), Password: password}}, fields: row}
	return true
}

package mailutest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// user is a row of Mailu's table user, with related state.
type user struct {
	hash     string
	sets     []Set          // through the API
	shown    []time.Time    // when the API showed the hash
	sessions int            // open web sessions
	fields   map[string]any // the other columns that the API shows, by their API names
}

// AddUser stores an enabled user with a new hash of password; it replaces a user of the same address.
func (s *Server) AddUser(email, password string) {
	hash, err := hashPassword(password, s.config.Rounds)
	if err != nil {
		// Start has checked the cost, so no error remains that a caller could handle.
		panic(fmt.Sprintf("mailutest: %v", err))
	}
	s.AddUserHash(email, hash)
}

// AddUserHash stores an enabled user with this hash, in any scheme; schemes other than Mailu's accept no password here.
func (s *Server) AddUserHash(email, hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[addressKey(email)] = &user{hash: hash, fields: s.newUserFields()}
	s.addDomain(domainOf(email))
}

// DeleteUser removes the user; an unknown one is no error.
func (s *Server) DeleteUser(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, addressKey(email))
}

// changeAtLogin is the switch that makes the web interface demand a new password at the next login.
const changeAtLogin = "change_pw_next_login"

// SetFlag sets a user's switch by its name in the API, such as "enable_imap". It panics for a name that is not a switch
// in this release, and for an unknown user.
func (s *Server) SetFlag(email, name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[addressKey(email)]
	if _, known := u.fields[name].(bool); !known {
		panic("mailutest: no switch " + name)
	}
	u.fields[name] = on
}

// Flag returns a user's switch, false for one that this release does not have.
func (s *Server) Flag(email, name string) bool {
	return s.user(email).fields[name] == true
}

// SetEnabled sets the switch "enabled" of a user: for a disabled one the password can be set, but no login works.
func (s *Server) SetEnabled(email string, enabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, found := s.users[addressKey(email)]; found {
		u.fields["enabled"] = enabled
	}
}

// Hash is the stored hash, "" for an unknown user.
func (s *Server) Hash(email string) string {
	return s.user(email).hash
}

// PasswordSets counts how often the API has set this user's password, including requests with faults.
func (s *Server) PasswordSets(email string) int {
	return len(s.user(email).sets)
}

// Set is a password set through the API.
type Set struct {
	Time     time.Time // by Config.Now
	Password string    // in the clear: compare it, never print it
}

// Sets returns the passwords that the API has set, in order, whatever it answered: for a judge that must not trust the
// client. Their times and those of Shown are taken together with the effect, so they show which came first.
func (s *Server) Sets(email string) []Set {
	return slices.Clone(s.user(email).sets)
}

// Shown returns when GET showed the user's hash, in order, whether or not the answer arrived. At no other time can a
// client have verified a password.
func (s *Server) Shown(email string) []time.Time {
	return slices.Clone(s.user(email).shown)
}

// OpenSession signs the user in to the web interface, for tests of what a new password ends.
func (s *Server) OpenSession(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, found := s.users[addressKey(email)]; found {
		u.sessions++
	}
}

// Sessions is the number of the user's open web sessions.
func (s *Server) Sessions(email string) int {
	return s.user(email).sessions
}

// Accepts reports whether a login would succeed, by verifying the stored hash; it counts and changes nothing. The empty
// password never opens an account, not even one whose hash is that of the empty password (models.py
// User.check_password).
func (s *Server) Accepts(email, password string) bool {
	u := s.user(email)
	if password == "" || u.fields["enabled"] != true {
		return false
	}
	return verifyPassword(u.hash, password)
}

// Login decides as Accepts does and then, like Mailu, renews a hash whose cost differs from CREDENTIAL_ROUNDS
// (models.py User.check_password calls passlib's verify_and_update): the hash changes, the password stays. A client
// that compares hashes instead of verifying them would take that for a foreign password.
func (s *Server) Login(email, password string) bool {
	if !s.Accepts(email, password) {
		return false
	}
	if rounds, _, _, _ := parseHash(s.Hash(email)); rounds == s.config.Rounds {
		return true
	}
	hash, err := hashPassword(password, s.config.Rounds)
	if err != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[addressKey(email)].hash = hash
	return true
}

// user returns a copy; the zero user if it is unknown.
func (s *Server) user(email string) user {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, found := s.users[addressKey(email)]
	if !found {
		return user{}
	}
	row := *u
	row.fields = maps.Clone(u.fields)
	return row
}

// show returns the user in the form of GET.
func (s *Server) show(email string) (row map[string]any, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, found := s.users[addressKey(email)]
	if !found {
		return nil, false
	}
	u.shown = append(u.shown, s.config.Now())
	return u.row(email), true
}

// row is the API's form of a user.
func (u *user) row(email string) map[string]any {
	row := map[string]any{"email": unicodeAddress(addressKey(email)), "password": u.hash}
	maps.Copy(row, u.fields)
	return row
}

// addresses returns the addresses of all users, in order.
func (s *Server) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.users))
}

// update is the part of PATCH that changes the row. A new password ends the user's web sessions (models.py
// User.set_password, utils.py prune_sessions; releases of 2024.06 before September 2024 ended everyone's).
func (s *Server) update(email, hash, password string, fields map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, found := s.users[addressKey(email)]
	if !found {
		return false
	}
	if hash != "" {
		u.hash = hash
		u.sets = append(u.sets, Set{Time: s.config.Now(), Password: password})
		u.sessions = 0
	}
	for name, value := range fields {
		if _, known := u.fields[name]; known {
			u.fields[name] = value
		}
	}
	return true
}

// newUserFields are the columns of api/v1/user.py user_fields_get except email and password, with the defaults of
// models.py.
func (s *Server) newUserFields() map[string]any {
	fields := map[string]any{
		"comment":              "",
		"quota_bytes":          1_000_000_000,
		"quota_bytes_used":     0,
		"global_admin":         false,
		"enabled":              true,
		"change_pw_next_login": false,
		"enable_imap":          true,
		"enable_pop":           true,
		"allow_spoofing":       false,
		"forward_enabled":      false,
		"forward_destination":  []any{},
		"forward_keep":         true,
		"reply_enabled":        false,
		"reply_subject":        nil,
		"reply_body":           nil,
		"reply_startdate":      "1900-01-01",
		"reply_enddate":        "2999-12-31",
		"displayed_name":       "",
		"spam_enabled":         true,
		"spam_mark_as_read":    true,
		"spam_threshold":       80,
	}
	if s.config.Release == Release20 {
		delete(fields, changeAtLogin)
	}
	return fields
}

package mailu

import (
	"encoding/json"
	"sync"

	"mailu-rotator/rotator"
)

// account is what GET returns about a user beside the hash. A missing field does not
// exist in this release.
type account struct {
	Enabled       *bool `json:"enabled"`
	EnableIMAP    *bool `json:"enable_imap"`
	ChangeAtLogin *bool `json:"change_pw_next_login"` // since 2024.06
}

// accounts are the users that one [Server] value has seen.
type accounts struct {
	mu    sync.Mutex // guards shown
	shown map[string]account
}

func (a *accounts) note(username string, answer []byte) {
	var shown account
	_ = json.Unmarshal(answer, &shown) // fields that do not fit are left out
	a.put(username, shown)
}

func (a *accounts) put(username string, shown account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shown == nil {
		a.shown = map[string]account{}
	}
	a.shown[username] = shown
}

func (a *accounts) of(username string) (shown account, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown, found = a.shown[username]
	return shown, found
}

// Account implements [rotator.Server]. It returns the latest answer about the user,
// with the changes of a push since.
func (s *Server) Account(username string) rotator.Account {
	shown, _ := s.accounts.of(username)
	is := func(field *bool, value bool) bool { return field != nil && *field == value }
	return rotator.Account{
		Disabled:      is(shown.Enabled, false),
		NoIMAP:        is(shown.EnableIMAP, false),
		ChangeAtLogin: is(shown.ChangeAtLogin, true),
	}
}

package mailu

import (
	"encoding/json"
	"sync"

	"mailu-rotator/rotator"
)

// account is what GET shows of a user beside the hash. A field that is missing
// is one that this release does not have.
type account struct {
	Enabled       *bool `json:"enabled"`
	EnableIMAP    *bool `json:"enable_imap"`
	ChangeAtLogin *bool `json:"change_pw_next_login"` // since 2024.06
}

// accounts are what one [Server] value was shown, by user.
type accounts struct {
	mu    sync.Mutex // guards shown
	shown map[string]account
}

func (a *accounts) note(username string, answer []byte) {
	var shown account
	_ = json.Unmarshal(answer, &shown) // what does not fit is left out
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

// Account implements [rotator.Server]. It is what the latest answer to a
// question about the user said, with what a push has changed since.
func (s *Server) Account(username string) rotator.Account {
	shown, _ := s.accounts.of(username)
	is := func(field *bool, value bool) bool { return field != nil && *field == value }
	return rotator.Account{
		Disabled:      is(shown.Enabled, false),
		NoIMAP:        is(shown.EnableIMAP, false),
		ChangeAtLogin: is(shown.ChangeAtLogin, true),
	}
}

package rotator

import (
	"context"
	"errors"
)

// LoginState is the result of a real login to a mail server, with a password that the
// hash has proven before. The strings are part of the JSON report.
type LoginState string

// The states of a login; empty: none was tried.
const (
	LoginAccepted    LoginState = "accepted"
	LoginRefused     LoginState = "refused"      // the server does not accept user and password
	LoginNotPossible LoginState = "not possible" // the password was not tried: no connection, an expired certificate, a limit
)

// LoginStates returns all of them.
func LoginStates() []LoginState {
	return []LoginState{LoginAccepted, LoginRefused, LoginNotPossible}
}

// Problem reports whether the login needs attention, and the exit status is 2. The
// password is not to blame.
func (s LoginState) Problem() bool { return s == LoginRefused || s == LoginNotPossible }

// LoginTurn decides whether a password that was just proven is tried in a real login. The
// caller ends a turn that it was given with the result.
type LoginTurn func(c Credential) (end func(LoginState), given bool)

// tryLogin logs in with the current password, which Mailu was just proven to hold, if its
// server has a mail service for that and it is this tenant's turn. The error explains the
// state. It is only reported: the password is right, so nothing may be pushed because of it.
func (r *rotation) tryLogin(ctx context.Context) (LoginState, error) {
	if r.LoginTurn == nil || !r.server.CanLogin(r.cred.Username) {
		return "", nil
	}
	end, given := r.LoginTurn(r.cred)
	if !given {
		return "", nil
	}
	state, err := r.login(ctx)
	end(state)
	switch state {
	case LoginAccepted:
		r.note(LoginWasAccepted, nil)
	case LoginRefused:
		r.note(LoginWasRefused, err)
	case LoginNotPossible:
		r.note(LoginWasNotPossible, err)
	}
	return state, err
}

// login returns no state if nothing was learned. A refusal counts only if Mailu still holds
// the password afterwards: another process may have changed it since it was proven.
func (r *rotation) login(ctx context.Context) (LoginState, error) {
	password, err := r.unseal(r.cred.current())
	if err != nil || sendable(password) != nil {
		return "", nil // such a password has no proof
	}
	defer password.Wipe()
	err = r.server.Login(ctx, r.cred.Username, password)
	switch {
	case err == nil:
		return LoginAccepted, nil
	case ctx.Err() != nil:
		return "", nil
	case !errors.Is(err, ErrLoginRefused):
		return LoginNotPossible, err
	}
	if match, _, asked := r.ask(ctx, password); asked != nil || match != Match {
		return "", nil
	}
	return LoginRefused, err
}

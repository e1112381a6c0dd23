package rotator

import "strings"

// Account holds settings that keep a user from logging in with the right password, as a
// server reported them. The zero Account means no known restriction.
type Account struct {
	Disabled      bool // no login at all
	NoIMAP        bool // no login by mail programs or the webmail
	ChangeAtLogin bool // the web interface requires the user to choose another password
}

// remark describes restrictions of the account; empty without any.
func (a Account) remark() string {
	var remarks []string
	if a.Disabled {
		remarks = append(remarks, "the user is disabled in Mailu: nobody can log in")
	}
	if a.NoIMAP {
		remarks = append(remarks, "IMAP is off for the user in Mailu: no mail can be read")
	}
	if a.ChangeAtLogin {
		remarks = append(remarks, "Mailu asks for a new password at the next web login: rotate this tenant, which ends that")
	}
	return strings.Join(remarks, "; ")
}

// withRemark adds the account's restrictions to a reason, which may be empty.
func (r *rotation) withRemark(reason string) string {
	if text := r.remark(); text != "" {
		r.note(AccountRestricted, errRemark(text))
	}
	return r.remarked(reason)
}

// remarked is withRemark for a problem, which has its own event.
func (r *rotation) remarked(problem string) string {
	text := r.remark()
	if problem == "" || text == "" {
		return problem + text
	}
	return problem + "; " + text
}

func (r *rotation) remark() string { return r.server.Account(r.cred.Username).remark() }

// errRemark is a remark in an event; it is not a failure.
type errRemark string

func (e errRemark) Error() string { return string(e) }

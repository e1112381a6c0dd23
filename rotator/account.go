package rotator

import "strings"

// Account is what keeps a user from logging in with the right password, as a
// server showed it. The zero Account keeps from nothing, as far as is known.
type Account struct {
	Disabled      bool // no login at all
	NoIMAP        bool // none of a mail program or the webmail
	ChangeAtLogin bool // the web interface makes the user choose another password
}

// remark is what somebody should know of the account; empty where there is nothing.
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

// withRemark adds to a reason, which may be empty, what the server showed of the
// user that somebody should know.
func (r *rotation) withRemark(reason string) string {
	if text := r.remark(); text != "" {
		r.note(AccountRestricted, errRemark(text))
	}
	return r.remarked(reason)
}

// remarked is withRemark for a problem, which has an event of its own.
func (r *rotation) remarked(problem string) string {
	text := r.remark()
	if problem == "" || text == "" {
		return problem + text
	}
	return problem + "; " + text
}

func (r *rotation) remark() string { return r.server.Account(r.cred.Username).remark() }

// errRemark is a remark in an event: it is none of a failure.
type errRemark string

func (e errRemark) Error() string { return string(e) }

package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/internal/text"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// tone is how urgent a sentence is.
type tone string

const (
	toneGood   tone = "good"
	toneWait   tone = "wait"   // nothing is known yet
	toneNotice tone = "notice" // look when there is time
	toneBad    tone = "bad"    // look
)

// concern is one finding: who has a problem, where to read more, and what to type.
type concern struct {
	Tone    tone
	Text    string
	Detail  string // may be empty
	Command string // likewise
	Link    string // likewise
	Since   moment // may be unknown
}

// Words are those of the command. A browser would break it within an option, after a
// hyphen that nobody could tell from the option's own.
func (c concern) Words() []string { return strings.Fields(c.Command) }

// verdict returns the headline and the other findings, most serious first.
func verdict(f fleet) (first concern, rest []concern) {
	all := concerns(f)
	if f.Scanned.IsZero() && len(all) == 0 {
		return concern{Tone: toneWait, Text: "Reading the records…", Detail: "Nothing is known yet. Reload the page in a moment."}, nil
	}
	if !f.Scanned.IsZero() {
		if age := ages(f); len(all) == 0 || age.Tone == toneBad {
			all = append([]concern{age}, all...)
		} else {
			all = append(all, age)
		}
	}
	return all[0], all[1:]
}

// ages says how many passwords are younger than their policy allows.
func ages(f fleet) concern {
	n, due, overdue := f.Passwords(), f.byState[rotator.PolicyStateDue], f.byState[rotator.PolicyStateOverdue]
	invalid, pending := f.byState[rotator.PolicyStateInvalid], f.byState[rotator.PolicyStatePending]
	others := invalid + pending
	switch {
	case n == 0:
		return concern{Tone: toneNotice, Text: "There is no tenant yet.", Detail: "The prefix in Vault holds no record of one."}
	case overdue > 0:
		return concern{
			Tone: toneBad, Text: fmt.Sprintf("%s of %s overdue.", number(overdue), count(n, "password")+" "+are(overdue)),
			Detail: "The sweep that should have rotated " + them(overdue) + " is over." + oldest(f), Link: inState(rotator.PolicyStateOverdue),
			Command: f.settings.Command(runDue),
		}
	case due > 0:
		return concern{
			Tone: toneNotice, Text: fmt.Sprintf("%s of %s due.", number(due), count(n, "password")+" "+are(due)),
			Detail: "The next sweep takes " + them(due) + ". None is overdue.", Link: inState(rotator.PolicyStateDue),
		}
	case others > 0:
		return concern{Tone: toneGood, Text: fmt.Sprintf("%s of %s younger than %s policy.", number(n-others), count(n, "password")+" "+are(n-others), plural(n-others, "its", "their")),
			Detail: rest(invalid, pending)}
	case n == 1:
		return concern{Tone: toneGood, Text: "The only password is younger than its policy."}
	}
	all := concern{Tone: toneGood, Text: fmt.Sprintf("All %s passwords are younger than their policy.", number(n))}
	if f.manual > 0 {
		all.Detail = count(f.manual, "tenant") + " " + are(f.manual) + " under a manual policy, which no age makes due."
	}
	return all
}

// rest says what the passwords are whose age is of no concern now.
func rest(invalid, pending int) string {
	var all []string
	if invalid > 0 {
		all = append(all, number(invalid)+" "+are(invalid)+" invalid")
	}
	if pending > 0 {
		all = append(all, number(pending)+" "+are(pending)+" in the middle of a rotation")
	}
	return strings.Join(all, ", ") + "."
}

// The arguments of commands that several concerns end with.
const (
	examine = "doctor"
	runDue  = "--run-now --due-only"
)

// nameOf is the name by which people know a tenant.
func nameOf(r *row) string { return name(cmp.Or(r.User, r.Tenant)) }

// oldest names the tenant that has been due the longest.
func oldest(f fleet) string {
	r := f.rows[0]
	age, known := r.Age(f.Now)
	if !known {
		return ""
	}
	return fmt.Sprintf(" The longest: %s, %s old under a policy of %s.", nameOf(r), words(age), policyText(r.Policy))
}

// concerns lists problems other than ages.
func concerns(f fleet) []concern {
	return slices.Concat(ofDaemon(f), ofCluster(f), ofServers(f), ofRecords(f), ofRuns(f))
}

// ofDaemon lists what keeps the daemon from its work.
func ofDaemon(f fleet) (all []concern) {
	if w := f.Waiting; w.Reason != "" {
		all = append(all, concern{
			Tone: toneBad, Text: "Vault does not serve, and is waited for.", Detail: reason(w.Reason), Since: f.Moment(w.Since), Command: f.settings.Command(examine),
		})
	}
	switch {
	case len(f.Runs) > 0 && f.Runs[0].Empty && f.Scanned.IsZero(): // had there been tenants, they would be missing
		all = append(all, concern{
			Tone: toneNotice, Text: "0 tenants.", Command: f.settings.AddFirst,
			Detail: "There is nothing under the prefix in Vault, and no sweep takes place until there is. The first tenant is added by:",
		})
	case len(f.Runs) > 0 && f.Runs[0].Err != "":
		all = append(all, concern{
			Tone: toneBad, Text: fmt.Sprintf("The last %s could not take place.", f.Runs[0].Task),
			Detail: reason(f.Runs[0].Err), Since: f.Moment(f.Runs[0].Finished), Command: f.settings.Command(examine),
		})
	case !f.Scanned.IsZero() && f.Now.After(f.settings.Timetable.Deadline(f.Scanned)):
		all = append(all, concern{
			Tone: toneBad, Text: "What is shown here is old.", Since: f.Moment(f.Scanned),
			Detail: "The records were last read then, and a sweep should have read them since.", Command: "journalctl -u mailu-rotator -p warning -S -1d",
		})
	}
	if r := f.Refused; r.Reason != "" {
		all = append(all, concern{
			Tone: toneNotice, Text: "The last reload was refused: the old configuration stays in force.",
			Detail: reason(r.Reason), Since: f.Moment(r.Since), Command: f.settings.Command("config check"),
		})
	}
	return all
}

// ofCluster lists what keeps workers from the fleet.
func ofCluster(f fleet) (all []concern) {
	if failed := f.Cluster.Failed; failed.Reason != "" {
		return []concern{{
			Tone: toneBad, Text: "The cluster cannot be reached.", Detail: reason(failed.Reason), Since: f.Moment(failed.Since),
			Command: f.settings.Command(examine), Link: "#cluster",
		}}
	}
	if unserved := f.Cluster.Unserved(); len(unserved) > 0 {
		c := concern{
			Tone: toneBad, Text: "No worker lists " + name(unserved[0]), Link: "#cluster", Command: f.settings.Command(examine),
			Detail: "Its tenants are blocked in every run, until a worker on a host that reaches it has it in mailu.servers.",
		}
		if others := len(unserved) - 1; others > 0 {
			c.Text += fmt.Sprintf(", nor %s", count(others, "other server"))
		}
		c.Text += "."
		all = append(all, c)
	}
	if releases := f.Cluster.Releases(); len(releases) > 1 {
		all = append(all, concern{
			Tone: toneNotice, Text: "The workers are of " + number(len(releases)) + " releases.", Link: "#cluster", Detail: "All hosts should have one.",
		})
	}
	return all
}

// ofServers lists the servers that the last run gave up.
func ofServers(f fleet) (all []concern) {
	for _, s := range f.Servers {
		if s.Breaker == status.BreakerStopped {
			all = append(all, concern{
				Tone: toneBad, Text: name(s.Origin) + " was given up in the last run.",
				Detail: reason(s.Reason), Since: f.Moment(s.Since), Link: onServer(s.Origin), Command: f.settings.Command(examine),
			})
		}
	}
	return append(shortList(all), ofLogins(f)...)
}

// ofLogins is one finding about the servers whose last real login failed.
func ofLogins(f fleet) []concern {
	failed := slices.DeleteFunc(slices.Clone(f.Logins), func(l status.LoginEntry) bool { return !l.State.Problem() })
	if len(failed) == 0 {
		return nil
	}
	c := concern{
		Tone: toneBad, Text: "The last login at " + name(failed[0].Origin) + " failed.", Detail: reason(failed[0].Reason),
		Since: f.Moment(failed[0].At), Link: onServer(failed[0].Origin), Command: f.settings.Command(examine),
	}
	if others := len(failed) - 1; others > 0 {
		c.Text = "The last logins at " + name(failed[0].Origin) + " and " + count(others, "other server") + " failed."
	}
	return []concern{c}
}

// ofRecords lists what is wrong with records.
func ofRecords(f fleet) (all []concern) {
	if n := f.byState[rotator.PolicyStateInvalid]; n > 0 {
		all = append(all, concern{
			Tone: toneBad, Text: fmt.Sprintf("%s invalid.", count(n, "record")+" "+are(n)), Link: inState(rotator.PolicyStateInvalid),
			Detail:  f.who(func(r *row) bool { return r.PolicyState == rotator.PolicyStateInvalid }, func(r *row) string { return r.Fault }),
			Command: f.settings.Command(examine),
		})
	}
	if n := count(f.expiring, "record"); f.expiring > 0 {
		all = append(all, concern{
			Tone: toneBad, Text: n + plural(f.expiring, " deletes itself before a rotation writes it anew.", " delete themselves before a rotation writes them anew."),
			Detail: fmt.Sprintf("By delete_version_after, the first on %s, of %s: the password is lost then.",
				f.expires.Expires.UTC().Format("2006-01-02 15:04 UTC"), nameOf(f.expires)),
			Link: query{Text: "deletes itself"}.link(), Command: f.settings.Command(examine),
		})
	}
	return all
}

// ofRuns lists what runs have left to do.
func ofRuns(f fleet) (all []concern) {
	if f.stuck > 0 {
		first := f.first((*row).stuck)
		c := concern{
			Tone: toneBad, Text: count(f.stuck, "rotation") + " " + are(f.stuck) + " stuck.", Link: query{Text: "stuck"}.link(),
			Detail: f.who((*row).stuck, func(*row) string { return "" }) + " Only a run that names the tenant goes on. First see to " + name(first.Origin) + ".",
		}
		if _, safe := rotator.ParseUUID(first.Tenant); safe {
			c.Command = f.settings.Command("--run-now --tenant " + first.Tenant)
		}
		all = append(all, c)
	}
	if f.problems > 0 {
		c := concern{
			Tone: toneBad, Text: fmt.Sprintf("The last verification found a problem with %s.", count(f.problems, "tenant")),
			Detail:  f.who(func(r *row) bool { return r.State.Problem() }, func(r *row) string { return string(r.State) }),
			Command: f.settings.Command("verify"), Link: inState(stateProblem),
		}
		if f.number(func(r *row) bool { return r.State.Problem() && !r.State.OfLogin() }) > 0 {
			c.Detail += " With --repair it brings Vault and Mailu together again."
		}
		all = append(all, c)
	}
	failed := func(r *row) bool { return r.failed() && !r.stuck() }
	if n := f.number(failed); n > 0 {
		all = append(all, concern{
			Tone: toneNotice, Text: fmt.Sprintf("The last run failed on %s.", count(n, "tenant")),
			Detail:  f.who(failed, func(r *row) string { return r.Reason }),
			Command: f.settings.Command(runDue), Link: inState(stateFailed),
		})
	}
	if n := f.halfFinished; n > 0 {
		all = append(all, concern{
			Tone: toneNotice, Text: fmt.Sprintf("%s half-finished.", count(n, "rotation")+" "+are(n)),
			Detail: "The next run finishes " + them(n) + ", with the same " + plural(n, "password.", "passwords."), Link: inState(rotator.PolicyStatePending),
		})
	}
	if since, missed := f.unverified(); missed {
		all = append(all, concern{
			Tone: toneNotice, Text: "A verification was missed.", Since: f.Moment(since), Command: f.settings.Command("verify"),
			Detail: "None has come to its end since then. Nobody would notice a password that was changed in Mailu.",
		})
	}
	return all
}

// unverified returns since when no verification has ended, and whether one should have.
func (f fleet) unverified() (since time.Time, missed bool) {
	since = f.Verified
	if since.IsZero() {
		since = f.Began
	}
	if running := f.Running(); since.IsZero() || running != nil && running.Task == string(rotator.TaskVerification) {
		return since, false
	}
	return since, f.settings.Verifications.Schedule != nil && f.Now.After(f.settings.Verifications.Deadline(since))
}

// number counts the tenants of a kind.
func (f fleet) number(is func(*row) bool) (n int) {
	for _, r := range f.rows {
		n += one(is(r))
	}
	return n
}

// first returns the most urgent tenant of a kind; there is one.
func (f fleet) first(is func(*row) bool) *row { return f.rows[slices.IndexFunc(f.rows, is)] }

// who names the most urgent tenant of a kind, with a reason that may be empty, and counts
// the others.
func (f fleet) who(is func(*row) bool, why func(*row) string) string {
	first := f.first(is)
	who := nameOf(first)
	if w := why(first); w != "" {
		who += ": " + shorten(strings.TrimSuffix(w, "."), 300)
	}
	if others := f.number(is) - 1; others > 0 {
		who += fmt.Sprintf("; and %s more", number(others))
	}
	return text.Visible(who) + "."
}

// maxConcerns is the number of servers that are named before only their count is given.
const maxConcerns = 4

func shortList(all []concern) []concern {
	if len(all) <= maxConcerns {
		return all
	}
	more := len(all) - maxConcerns
	return append(all[:maxConcerns:maxConcerns], concern{Tone: toneBad, Text: count(more, "more server") + " given up in the last run.", Link: "#servers"})
}

func are(n int) string { return plural(n, "is", "are") }

func them(n int) string { return plural(n, "it", "them") }

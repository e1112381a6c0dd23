package page

import (
	"cmp"
	"fmt"

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

// concern is one finding, and where to read more.
type concern struct {
	Tone   tone
	Text   string
	Detail string // may be empty
	Link   string // may be empty
	Since  moment // may be unknown
}

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
	switch {
	case n == 0:
		return concern{Tone: toneNotice, Text: "There is no tenant yet.", Detail: "The prefix in Vault holds no record of one."}
	case overdue > 0:
		return concern{
			Tone: toneBad, Text: fmt.Sprintf("%s of %s overdue.", number(overdue), count(n, "password")+" "+are(overdue)),
			Detail: "The sweep that should have rotated them is over." + oldest(f), Link: inState(rotator.PolicyStateOverdue),
		}
	case due > 0:
		return concern{
			Tone: toneNotice, Text: fmt.Sprintf("%s of %s due.", number(due), count(n, "password")+" "+are(due)),
			Detail: "The next sweep takes them. None is overdue.", Link: inState(rotator.PolicyStateDue),
		}
	case invalid+pending > 0:
		return concern{Tone: toneGood, Text: fmt.Sprintf("%s of %s younger than their policy.", number(n-invalid-pending), count(n, "password")+" are"),
			Detail: "The others are invalid, or in the middle of a rotation."}
	case n == 1:
		return concern{Tone: toneGood, Text: "The only password is younger than its policy."}
	}
	all := concern{Tone: toneGood, Text: fmt.Sprintf("All %s passwords are younger than their policy.", number(n))}
	if f.manual > 0 {
		all.Detail = count(f.manual, "tenant") + " " + are(f.manual) + " under a manual policy, which no age makes due."
	}
	return all
}

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
	var all []concern
	add := func(c concern) { all = append(all, c) }
	switch {
	case len(f.Runs) > 0 && f.Runs[0].Empty && f.Scanned.IsZero(): // had there been tenants, they would be missing
		add(concern{
			Tone: toneNotice, Text: "0 tenants.",
			Detail: "There is nothing under the prefix in Vault, and no sweep takes place until there is. The first tenant is added by: " + f.addFirst,
		})
	case len(f.Runs) > 0 && f.Runs[0].Err != "":
		add(concern{
			Tone: toneBad, Text: fmt.Sprintf("The last %s could not take place.", f.Runs[0].Task),
			Detail: reason(f.Runs[0].Err), Since: f.Moment(f.Runs[0].Finished),
		})
	case !f.Scanned.IsZero() && f.Now.After(f.timetable.Deadline(f.Scanned)):
		add(concern{
			Tone: toneBad, Text: "What is shown here is old.", Since: f.Moment(f.Scanned),
			Detail: "The records were last read then, and a sweep should have read them since.",
		})
	}
	for _, s := range f.Servers {
		if s.Breaker == status.BreakerStopped {
			add(concern{
				Tone: toneBad, Text: name(s.Origin) + " was given up in the last run.",
				Detail: reason(s.Reason), Since: f.Moment(s.Since), Link: onServer(s.Origin),
			})
		}
	}
	all = shortList(all)
	if n := f.byState[rotator.PolicyStateInvalid]; n > 0 {
		add(concern{
			Tone: toneBad, Text: fmt.Sprintf("%s invalid.", count(n, "record")+" "+are(n)), Link: inState(rotator.PolicyStateInvalid),
			Detail: "Not rotated until the record is fixed or its origin is listed.",
		})
	}
	if f.expiring > 0 {
		add(concern{
			Tone: toneBad, Text: plural(f.expiring, "1 record deletes itself before a rotation writes it anew.",
				count(f.expiring, "record")+" delete themselves before a rotation writes them anew."),
			Detail: fmt.Sprintf("By delete_version_after, the first on %s, of %s: the password is lost then. mailu-rotator doctor says how to end that.",
				f.expires.Expires.UTC().Format("2006-01-02 15:04 UTC"), nameOf(f.expires)),
			Link: query{Text: "deletes itself"}.link(),
		})
	}
	if f.problems > 0 {
		add(concern{
			Tone: toneBad, Text: fmt.Sprintf("The last verification found a problem with %s.", count(f.problems, "tenant")),
			Link: inState(stateProblem),
		})
	}
	if f.failed > 0 {
		add(concern{
			Tone: toneNotice, Text: fmt.Sprintf("The last run failed on %s.", count(f.failed, "tenant")),
			Link: inState(stateFailed),
		})
	}
	if n := f.halfFinished; n > 0 {
		add(concern{
			Tone: toneNotice, Text: fmt.Sprintf("%s half-finished.", count(n, "rotation")+" "+are(n)),
			Detail: "The next run finishes them, with their passwords.", Link: inState(rotator.PolicyStatePending),
		})
	}
	return all
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

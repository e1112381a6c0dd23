package commands_test

import (
	"context"
	"slices"
	"strings"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// names are spellings by which a second record can name the same user.
var names = []struct{ what, user, webmail string }{
	{"one spelling", user, webmail},
	{"two spellings", "Admin@A.Example", webmail},
	{"two origins", user, "https://webmail.example"},
}

func rivalries() (all []scenario) {
	for _, n := range names {
		all = append(all,
			scenario{name: "rivals, " + n.what, world: rivals(n.user, n.webmail), commands: []command{runNow(), repairing("repair")}, after: []command{repairing("the last repair")}, rest: aWhole},
			scenario{name: "rivals, one named, " + n.what, world: rivals(n.user, n.webmail), commands: []command{runNowOf(tenantA), runNowOf(tenantB)}, after: []command{repairing("the last repair")}, rest: aWhole},
			scenario{name: "rivals, one to be added, " + n.what, world: history(one, one), commands: []command{runNow(), adding("tenant add", tenantB, n.user, n.webmail)}, faults: 1, only: deadly, after: []command{daemon()}, rest: aWhole},
			scenario{name: "a rival appears, " + n.what, world: history(one, one), commands: []command{runNow(), repairing("repair")}, operator: addRival(n.user, n.webmail), after: []command{daemon()}, rest: aAccepted},
			scenario{name: "two additions without ids, " + n.what, world: noRecord, commands: []command{adding("tenant add", "", user, webmail), adding("another tenant add", "", n.user, n.webmail)}, after: []command{daemon()}, rest: oneAdded},
			scenario{name: "two additions with ids, " + n.what, world: noRecord, commands: []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, n.user, n.webmail)}, after: []command{daemon()}, rest: oneNamesTheUser},
			scenario{name: "two additions with ids, one dies, " + n.what, world: noRecord, commands: []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, n.user, n.webmail)}, faults: 1, only: deadly, after: []command{daemon()}, rest: oneNamesTheUser},
		)
	}
	return append(all,
		scenario{name: "two additions with ids, lost answers", world: noRecord, commands: []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, user, webmail)}, faults: 1, after: []command{daemon()}, rest: oneNamesTheUser},
		scenario{name: "two additions with ids, no user yet", world: func(*world) {}, commands: []command{adding("tenant add", tenantA, user, webmail), adding("another tenant add", tenantB, user, webmail)}, after: []command{daemon()}, rest: oneNamesTheUser},
		scenario{name: "an addition beside one that died, and a daemon", world: leftOpen, commands: []command{adding("tenant add", tenantA, user, webmail), daemon()}, after: []command{daemon()}, rest: oneNamesTheUser},
		scenario{name: "an emergency run beside an addition that died", world: beside(history(one, one)), commands: []command{runNow(), daemon()}, after: []command{daemon()}, rest: oneNamesTheUser},
		scenario{name: "two additions that died", world: beside(leftOpen), commands: []command{daemon()}, faults: 1, after: []command{daemon()}, rest: oneNamesTheUser},
	)
}

// deadly selects the fates that end a process.
func deadly(_ call, f fate) bool { return f == diesBefore || f == diesAfter }

// rivals are two records of one user; Mailu accepts the password of A's.
func rivals(user2, webmail2 string) func(*world) {
	return func(w *world) {
		history(one, one)(w)
		addRival(user2, webmail2)(w)
	}
}

// addRival is an operator who writes a second record, with its own password.
func addRival(user, webmail string) func(*world) {
	return func(w *world) {
		w.put(tenantB, w.seal(tenantB, blank(user, webmail), born, two, 1))
	}
}

// aWhole is the check if B is a rival, which no process can resolve.
func aWhole(w *world) { w.mustBeWhole(tenantA) }

// aAccepted is the check if A may stay half-finished, since a rival appeared in the
// middle of its rotation.
func aAccepted(w *world) {
	if fields := w.fields(tenantA); !slices.Contains(w.holds(tenantA, fields), w.users[user]) {
		w.violate("not at rest: %s", w.describe())
	}
}

// noRecord is a user in Mailu without a tenant.
func noRecord(w *world) { w.users[user] = one }

// added returns the tenants with a current password.
func (w *world) added() (all []rotator.TenantID) {
	for _, t := range w.tenantIDs() {
		if fields := w.fields(t); fields != nil && fields["password"] != nil {
			all = append(all, t)
		}
	}
	return all
}

// oneAdded is the check after two additions of one user.
func oneAdded(w *world) {
	if len(w.added()) != 1 || len(w.records) != 1 {
		w.violate("%d records, %d tenants were added: %s", len(w.records), len(w.added()), w.describe())
	}
	w.mustBeWhole(w.added()...)
}

// oneNamesTheUser is the check after two additions under given ids: one record is a
// tenant's, the other one, if any, names no user. Without a failure one command has
// added it, and the other one names the tenant that has the user.
func oneNamesTheUser(w *world) {
	var naming []rotator.TenantID
	for _, t := range w.tenantIDs() {
		if w.fields(t)["username"] != nil {
			naming = append(naming, t)
		}
	}
	if len(naming) != 1 {
		w.violate("%d records name the user: %s", len(naming), w.describe())
	}
	w.mustBeWhole(naming...)
	var told []string
	for _, p := range w.commands {
		if strings.HasSuffix(p.name, "tenant add") {
			told = append(told, p.said)
		}
	}
	said := strings.Join(told, "; ")
	if w.scenario.faults == 0 && len(told) == 2 && (strings.Count(said, " added ") != 1 || strings.Count(said, " has the user ") != 1) {
		w.violate("the two say: %s", said)
	}
}

// leftOpen is record B of an addition that died before it was admitted.
func leftOpen(w *world) {
	w.users[user] = one
	w.put(tenantB, w.openAddition(tenantB))
}

// beside is a world with such a record C.
func beside(make func(*world)) func(*world) {
	return func(w *world) {
		make(w)
		w.put(tenantC, w.openAddition(tenantC))
	}
}

func (w *world) openAddition(t rotator.TenantID) map[string]any {
	sealed := w.seal(t, nil, born, "Never-pushed-"+string(t[:1]), 1)
	sealed["owner"], sealed["claimed_until"] = "dead", born
	fields := blank(user, webmail)
	fields["pending"] = sealed
	return fields
}

// runNowOf is an emergency run that names one tenant.
func runNowOf(t rotator.TenantID) command {
	return sweeping("run-now of "+string(t[:1]), sweep.Selection{All: true, Tenants: []rotator.TenantID{t}})
}

func adding(name string, t rotator.TenantID, user, webmail string) command {
	return command{name, func(ctx context.Context, p *process) (string, error) {
		report, err := p.sweep.Add(ctx, registry{p}, []sweep.Addition{{Tenant: t, Username: user, WebmailURL: webmail}}, true)
		return outcomes(report), err
	}}
}

package simulation

import "slices"

// end follows a state at rest by one undisturbed run, and checks the result.
func (x *explorer) end(w *world, n int32) {
	x.result.Ends++
	last := w.settle()
	limit := w.checkRest(last)
	switch {
	case w.violation != "":
		x.found(w, x.way(n), true)
	case limit != None:
		x.result.Limits[limit]++
	case w.ledger.excused != 0:
		x.result.Healed++
	}
}

// settle runs an undisturbed run; if the tenant was to be added, first the same command
// again, which can finish an addition when a run cannot.
func (w *world) settle() *process {
	if w.scenario.Vacant {
		w.rest(Process{Name: "the command again", Adds: true, Attempts: 1})
	}
	return w.rest(theLast())
}

// theLast is the process of the undisturbed run.
func theLast() Process { return Process{Name: "the last", Attempts: 1} }

// checkRest tests the invariant at rest. It returns the excuse if Mailu and Vault still
// differ: one of the limits in the package comment.
func (w *world) checkRest(last *process) Excuse {
	if prepared, asked := len(w.ledger.prepared)-w.ledger.abandoned, w.asked(); prepared > asked {
		w.violate("%d passwords were prepared for %d rotations asked for", prepared, asked)
	}
	held := w.held(w.vault.fields())
	switch {
	case w.vault.fields()["password"] == nil && !w.vault.gone && w.ledger.acts == 0:
		w.violate("not at rest: nothing is current, the last run says %v", last.result.Err)
	case len(held) == 1 && held[0] == w.mailu.password && last.result.Err == nil:
		return None
	case w.vault.fields() == nil && w.ledger.acts > 0:
		return Deleted
	case w.ledger.excuse == None:
		w.violate("not at rest: Mailu accepts %q, Vault holds %q, the last run says %v", w.mailu.password, held, last.result.Err)
	}
	excuse := w.ledger.excuse
	if w.violation == "" {
		w.checkLimit(excuse)
	}
	return excuse
}

// checkLimit checks that the remaining difference can be fixed: from the history of the
// record, if a rotation made the password, and by any rotation. It also checks that no
// process caused it that could continue undisturbed after its overdue push.
func (w *world) checkLimit(excuse Excuse) {
	if excuse != Overwritten && !w.inHistory(w.mailu.password) {
		w.violate("lost: Mailu accepts %q, which the history does not have", w.mailu.password)
	}
	if p := w.process(w.mailu.by); excuse == Overdue && p.status == ended && !p.disturbed && w.ledger.acts == 0 {
		w.violate("%s went on undisturbed and left Mailu with %q, which Vault does not hold", p.Name, w.mailu.password)
	}
	if w.violation != "" {
		return
	}
	rescue := w.rest(Process{Name: "the rescue", RunNow: true, Attempts: 1})
	if held := w.held(w.vault.fields()); len(held) != 1 || held[0] != w.mailu.password {
		w.violate("a rotation does not fix it: Mailu accepts %q, Vault holds %q, the run says %v", w.mailu.password, held, rescue.result.Err)
	}
}

func (w *world) inHistory(password string) bool {
	return slices.ContainsFunc(w.vault.kept(), func(v version) bool { return slices.Contains(w.held(v.fields), password) })
}

// asked is the number of justified rotations: one because the record is due, one for
// each run that rotates at any age, and one for each rotation that an operator or an
// overdue push undid.
func (w *world) asked() int {
	asked := 1 + w.ledger.undone
	for _, p := range w.scenario.Processes {
		if p.RunNow {
			asked++
		}
	}
	for _, act := range w.scenario.Operator {
		if act.destructive() {
			asked++
		}
	}
	return asked
}

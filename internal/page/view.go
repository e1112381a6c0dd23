package page

import (
	"cmp"
	"html/template"
	"runtime"
	"slices"

	"mailu-rotator/rotator"
)

// view is the data of the templates.
type view struct {
	Style       template.CSS
	Icon        template.URL
	Title       string
	Refresh     bool
	Overview    bool
	Now         moment
	Scanned     moment
	Verdict     concern
	Concerns    []concern
	Tiles       []tile
	Ignored     int
	Total       int
	Running     *run
	Sweep       moment // next
	Verify      moment // next
	Histogram   histogram
	Calendar    calendar
	Servers     []server
	MoreServers int  // beyond those
	Latency     bool // whether latency is measured
	Runs        []run
	Table       table
	Query       formView
	Policy      string
	Timezone    string
	Version     string
	Go          string
}

// tile is a number of the overview that links to its tenants.
type tile struct {
	State string // as in the parameter, and the name of its icon
	Label string
	Count int
	Link  string
	Apart bool   // not a standing, so not part of the bar
	X     string // percent, of the bar
	Width string
}

// formView is the search form's content.
type formView struct {
	Text    string
	State   string
	Server  string
	Sort    string
	States  []string
	Sorts   []string
	Origins []string
	Active  bool // a filter narrows the table
}

func (h *handler) view(q query) view {
	settings := h.Settings()
	f := newFleet(h.Snapshot(), settings.Timetable)
	v := view{
		Style: template.CSS(style), Refresh: q.refresh && q.overview(), Overview: q.overview(),
		Now: f.moment(f.Now), Scanned: f.moment(f.Scanned), Sweep: f.moment(f.NextSweep), Verify: f.moment(f.NextVerification),
		Tiles: tiles(f), Total: f.passwords(), Ignored: f.standings[rotator.StandingIgnored],
		Histogram: newHistogram(f), Calendar: newCalendar(f), Servers: servers(f, h.Latency), Latency: h.Latency != nil, Runs: runs(f),
		Table: newTable(f, q), Policy: policyText(settings.DefaultPolicy), Timezone: settings.Timetable.Timezone.String(),
		Version: h.Version, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}
	v.Verdict, v.Concerns = verdict(f)
	v.Icon, v.Title = icon(v.Verdict.Tone), v.Verdict.Text
	if e, running := f.running(); running {
		r := newRun(f, e)
		v.Running = &r
	}
	v.Query = formView{Text: q.text, State: q.state, Server: q.server, Sort: q.sort, States: states(), Sorts: sorts, Active: q.text+q.state+q.server != ""}
	for _, s := range v.Servers[:min(len(v.Servers), maxServers)] {
		v.Query.Origins = append(v.Query.Origins, s.Origin)
	}
	slices.SortFunc(v.Query.Origins, cmp.Compare[string])
	if extra := len(v.Servers) - maxServers; extra > 0 {
		v.Servers, v.MoreServers = v.Servers[:maxServers], extra
	}
	return v
}

// tiles starts with the healthy tenants.
func tiles(f fleet) []tile {
	var all []tile
	x := 0
	for _, s := range []rotator.Standing{
		rotator.StandingOK, rotator.StandingDue, rotator.StandingOverdue, rotator.StandingPending, rotator.StandingInvalid,
	} {
		n := f.standings[s]
		all = append(all, tile{
			State: string(s), Label: string(s), Count: n, Link: inState(string(s)).link(),
			X: percent(float64(x), max(1, f.passwords())), Width: percent(float64(n), max(1, f.passwords())),
		})
		x += n
	}
	return append(all,
		tile{State: stateFailed, Label: "failed in the last run", Count: f.failed, Link: inState(stateFailed).link(), Apart: true},
		tile{State: stateProblem, Label: "problems when verified", Count: f.problems, Link: inState(stateProblem).link(), Apart: true},
	)
}

// icon marks the browser tab by colour and shape.
func icon(t tone) template.URL {
	shape := map[tone]string{
		toneGood:   "%3Ccircle cx='8' cy='8' r='7' fill='%2327825f'/%3E",
		toneWait:   "%3Ccircle cx='8' cy='8' r='6' fill='none' stroke='%23808080' stroke-width='2'/%3E",
		toneNotice: "%3Cpath d='M8 1l7 7-7 7-7-7z' fill='%23c98a1b'/%3E",
		toneBad:    "%3Cpath d='M8 1l8 14H0z' fill='%23c0362c'/%3E",
	}[t]
	return template.URL("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E" + shape + "%3C/svg%3E")
}

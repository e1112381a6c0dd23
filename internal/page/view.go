package page

import (
	"html/template"
	"runtime"
	"slices"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// view is the data of the templates, beside the fleet itself.
type view struct {
	fleet
	Query       query
	Style       template.CSS
	Icon        template.URL
	Overview    bool
	Refresh     bool
	Verdict     concern
	Concerns    []concern
	Tiles       []tile
	Histogram   histogram
	Calendar    calendar
	Servers     []*server
	MoreServers int // beyond those
	Origins     []string
	Workers     []status.WorkerEntry
	MoreWorkers int                 // beyond those
	Queues      []status.QueueEntry // that are not empty
	Runs        []status.RunEntry
	Table       table
	Policy      string
	Timezone    string
	Version     string
	Go          string
}

func (h *handler) view(q query) view {
	settings := h.Settings()
	f := newFleet(h.Snapshot(), settings)
	all := servers(f, h.Latency)
	v := view{
		fleet: f, Query: q, Style: template.CSS(style), Overview: q.overview(), Refresh: q.refresh && q.overview(),
		Tiles: tiles(f), Histogram: newHistogram(f), Calendar: newCalendar(f), Table: newTable(f, q),
		Servers: all[:min(len(all), maxServers)], MoreServers: max(0, len(all)-maxServers),
		Runs: f.Runs[:min(len(f.Runs), maxRuns)], Policy: policyText(settings.DefaultPolicy), Timezone: settings.Timetable.Timezone.String(),
		Version: h.Version, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}
	v.Workers, v.Queues = f.Cluster.Workers[:min(len(f.Cluster.Workers), maxWorkers)], waiting(f.Cluster.Queues)
	v.MoreWorkers = len(f.Cluster.Workers) - len(v.Workers)
	v.Verdict, v.Concerns = verdict(f)
	v.Icon = icon(v.Verdict.Tone)
	for _, s := range v.Servers {
		v.Origins = append(v.Origins, name(s.Origin))
	}
	slices.Sort(v.Origins)
	return v
}

// tile is a number of the overview that links to its tenants.
type tile struct {
	State string // as in the parameter, and the name of its icon
	Label string
	Count int
	Link  string
	Apart bool   // not a state, so not part of the bar
	X     string // percent, of the bar
	Width string
}

// tiles starts with the healthy tenants.
func tiles(f fleet) []tile {
	var all []tile
	x, total := 0, max(1, f.Passwords())
	for _, s := range []rotator.PolicyState{
		rotator.PolicyStateOK, rotator.PolicyStateDue, rotator.PolicyStateOverdue, rotator.PolicyStatePending, rotator.PolicyStateInvalid,
	} {
		n := f.byState[s]
		all = append(all, tile{
			State: string(s), Label: string(s), Count: n, Link: inState(s),
			X: percent(float64(x), total), Width: percent(float64(n), total),
		})
		x += n
	}
	return append(all,
		tile{State: stateFailed, Label: "failed in the last run", Count: f.failed, Link: inState(stateFailed), Apart: true},
		tile{State: stateProblem, Label: "problems when verified", Count: f.problems, Link: inState(stateProblem), Apart: true},
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

package page_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator/status"
)

// clustered is a healthy fleet whose daemon belongs to a cluster.
func clustered() status.Snapshot {
	s := pagetest.Healthy(12)
	s.Cluster = status.Cluster{
		Seen: s.Now.Add(-5 * time.Second),
		Workers: []status.WorkerEntry{
			{Name: "ops1/7/abcd", Version: "v1.0.0", Since: s.Now.Add(-time.Hour), Batches: 1, Servers: 2},
			{Name: "ops2/9/ef01", Version: "v1.0.0", Since: s.Now.Add(-2 * time.Hour), Servers: 1},
		},
		Queues: []status.QueueEntry{
			{Origin: pagetest.Origin(0), Workers: 2, Batches: 3, Oldest: s.Now.Add(-time.Minute)}, {Origin: pagetest.Origin(1), Workers: 1},
			{Batches: 4, Oldest: s.Now.Add(-3 * time.Minute)},
		},
	}
	return s
}

func TestClusterShowsWorkersAndQueues(t *testing.T) {
	d := open(t, clustered(), "/")

	section := d.id("cluster")
	want := []string{
		"Worker Release Since Servers Batches",
		"ops1/7/abcd v1.0.0 2026-11-25 13:32 60 minutes ago 2 1", "ops2/9/ef01 v1.0.0 2026-11-25 12:32 2 hours ago 1 0",
		"Queue Workers Batches The first since",
		"https://mail1.example.com 2 3 2026-11-25 14:31 1 minute ago", "servers that are not configured here – 4 2026-11-25 14:29 3 minutes ago",
	}
	if rows := section.texts(tag("tr")); !slices.Equal(rows, want) {
		t.Errorf("got\n%s", strings.Join(rows, "\n"))
	}
	if head := section.one(tag("h2"), "the heading").text(); head != "Cluster 5 seconds ago" {
		t.Errorf("the heading is %q", head)
	}
	if !strings.HasPrefix(d.headline(), "All 12 passwords") {
		t.Errorf("the headline is %s", d.headline())
	}
}

func TestEmptyQueuesAreNotListed(t *testing.T) {
	s := clustered()
	for i := range s.Cluster.Queues {
		s.Cluster.Queues[i].Batches = 0
	}

	if text := open(t, s, "/").id("cluster").text(); !strings.HasSuffix(text, " Nothing waits for a worker.") {
		t.Error(text)
	}
}

func TestWithoutAClusterThePageHasNoneOfIt(t *testing.T) {
	if text := open(t, pagetest.Healthy(3), "/").text(); strings.Contains(text, "Cluster") {
		t.Error(text)
	}
}

func TestManyWorkersAreListedInPart(t *testing.T) {
	s := clustered()
	s.Cluster.Workers = slices.Repeat(s.Cluster.Workers, 40)
	s.Cluster.Queues = slices.Repeat(s.Cluster.Queues[:1], 90)
	section := open(t, s, "/").id("cluster")

	if rows := len(section.all(tag("tr"))) - 2; rows != 100 || !strings.Contains(section.text(), "And 30 more workers.") {
		t.Errorf("%d rows", rows)
	}
}

func TestTroubleOfTheClusterIsSaidFirst(t *testing.T) {
	for want, change := range map[string]func(*status.Cluster){
		"The cluster cannot be reached.":                                 func(c *status.Cluster) { c.Failed = status.Trouble{Since: pagetest.Now, Reason: "nats: timeout"} },
		"No worker lists https://mail2.example.com.":                     func(c *status.Cluster) { c.Queues[1].Workers = 0 },
		"No worker lists https://mail1.example.com, nor 1 other server.": func(c *status.Cluster) { c.Queues[0].Workers, c.Queues[1].Workers = 0, 0 },
		"The workers are of 2 releases.":                                 func(c *status.Cluster) { c.Workers[1].Version = "v0.9.0" },
	} {
		s := clustered()
		change(&s.Cluster)

		if got := open(t, s, "/").headline(); got != want {
			t.Errorf("the headline is %q, want %q", got, want)
		}
	}
}

func TestClusterThatWasNeverReachedIsTold(t *testing.T) {
	s := pagetest.Healthy(3)
	s.Cluster.Failed = status.Trouble{Since: s.Now, Reason: errors.New("nats: no servers").Error()}

	text := open(t, s, "/").id("cluster").text()

	if text != "Cluster not seen yet" {
		t.Error(text)
	}
}

func TestNamesOfWorkersAreTextAndNothingElse(t *testing.T) {
	s := clustered()
	s.Cluster.Workers[0].Name = "<script>alert(1)</script>\x1b[31m" + strings.Repeat("x", 5000)
	s.Cluster.Workers[0].Version = "<img src=x>"

	d := open(t, s, "/")

	if n := len(d.all(tag("script"))) + len(d.all(tag("img"))); n > 0 {
		t.Errorf("%d elements of a worker's name", n)
	}
	if text := d.id("cluster").text(); strings.Contains(text, "\x1b") || len(text) > 2000 {
		t.Errorf("%.300q", text)
	}
}

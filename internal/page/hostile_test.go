package page_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// hostile are texts that an attacker could put into a record.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`,
	`</title></style><svg onload=alert(1)>`, `{{.}}`, `&lt;b&gt;`, "a\x00b\x1b[31mred", "\xff\xfe", "\u202egpj.exe", "zero\u200bwidth", "\u3164", strings.Repeat("Z", 100_000),
}

// haunted is a fleet with the text in every field that others can write.
func haunted(text string) status.Snapshot {
	evil := rotator.Status{
		Tenant: text, User: text, Origin: rotator.Origin(text), LastRotated: text, Fault: text, Policy: pagetest.Policy("30_days"),
		Pending: &rotator.Claim{Owner: text},
	}
	half := evil
	half.Tenant, half.Fault = text+"2", ""
	return status.Snapshot{
		Now: pagetest.Now, Scanned: pagetest.Now,
		Tenants: []status.Entry{
			{Status: evil, Outcome: rotator.Failed, Reason: text, At: pagetest.Now, State: rotator.StateDrift, StateSince: pagetest.Now},
			{Status: half},
			{Status: rotator.Status{Tenant: text + "3", Born: pagetest.Now.Add(-99 * 24 * time.Hour), Due: pagetest.Now.Add(-60 * 24 * time.Hour), Policy: pagetest.Policy("39_days")}},
		},
		Servers: []status.ServerEntry{{Origin: rotator.Origin(text), Breaker: status.BreakerStopped, Since: pagetest.Now, Reason: text}},
		Runs:    []status.RunEntry{{Task: "sweep", Started: pagetest.Now, Finished: pagetest.Now, Err: errors.New(text).Error()}},
	}
}

func TestWhatRecordsHoldIsTextAndNothingElse(t *testing.T) {
	clean := shape(open(t, haunted("harmless"), "/"))
	for _, text := range hostile {
		t.Run(text[:min(len(text), 20)], func(t *testing.T) {
			w := ask(t, pagetest.Config(haunted(text)), http.MethodGet, "/")

			if got := shape(parse(t, w.Body.String())); got != clean {
				t.Errorf("the text changed the document's elements or attributes")
			}
			if w.Body.Len() > 128<<10 {
				t.Errorf("it made a page of %d bytes", w.Body.Len())
			}
		})
	}
}

// shape lists the elements of a document and the names of their attributes.
func shape(d document) string {
	var b strings.Builder
	for _, n := range d.all(func(*html.Node) bool { return true }) {
		b.WriteString("<" + n.Data)
		for _, a := range n.Attr {
			b.WriteString(" " + a.Key)
		}
		b.WriteString(">")
	}
	return b.String()
}

func TestWhatHasNoShapeIsSpelledOut(t *testing.T) {
	tests := map[string]string{
		"\u202egpj.exe":   `\u202egpj.exe`,
		"zero\u200bwidth": `zero\u200bwidth`,
		"a\x1b[31m":       `a\x1b[31m`,
		"a\ufe0fb":        `a\ufe0fb`,
		"\xff":            `\xff`,
		"no\u00a0break":   `no\u00a0break`,
		"\u3164":          `\u3164`,
		"\U000e0041":      `\U000e0041`,
		"Grüße, 日本, שלום": "Grüße, 日本, שלום",
	}
	for text, want := range tests {
		d := open(t, haunted(text), "/")

		if got := d.tenants()[0]; got != want && got != want+"2" && got != want+"3" {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestWhatWasSearchedForIsText(t *testing.T) {
	for _, text := range hostile[:len(hostile)-1] {
		escaped := url.QueryEscape(text)

		d := open(t, pagetest.Healthy(12), "/?q="+escaped+"&server="+escaped+"&state="+escaped+"&sort="+escaped+"&page="+escaped)

		if got := shape(d); got != shape(open(t, pagetest.Healthy(12), "/?q=nobody&server=none")) {
			t.Errorf("%q changed the document", text)
		}
	}
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"", "q=a&state=ok&server=mail1&sort=-age&page=2", "page=99999999999999999999", "page=-1", "page=0x10", "sort=--age", "state=failed",
		"q=%00%ff&q=2", "%zz", ";", "q=" + strings.Repeat("%F0%9F%94%91", 50), "server=https%3A%2F%2Fmail1.example.com",
	} {
		f.Add(seed)
	}
	fleet := pagetest.Mixed(120)
	f.Fuzz(func(t *testing.T, raw string) {
		r := (&http.Request{Method: http.MethodGet, URL: rootWith(raw)})
		w := serve(fleet, r)

		if len(raw) > 2048 {
			if w.Code != http.StatusRequestURITooLong {
				t.Errorf("got %d", w.Code)
			}
			return
		}
		if w.Code != http.StatusOK || w.Body.Len() > 256<<10 {
			t.Fatalf("got %d and %d bytes", w.Code, w.Body.Len())
		}
		d := parse(t, w.Body.String())
		if n := len(d.tenants()); n > 100 {
			t.Errorf("%d rows", n)
		}
		if len(d.all(tag("script"))) > 0 {
			t.Error("there is a script")
		}
	})
}

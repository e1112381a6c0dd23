package browsertest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"mailu-rotator/internal/page/pagetest"
)

// tabbed presses Tab the given number of times and returns where the focus went.
func (b *tab) tabbed(times int) (stops []string) {
	b.t.Helper()
	for range times {
		b.run(chromedp.KeyEvent(kb.Tab))
		stops = append(stops, eval[string](b, `(e => e.tagName.toLowerCase() + " " + (e.name || e.getAttribute("aria-labelledby") || e.getAttribute("href") || e.textContent.trim())
			+ (parseFloat(getComputedStyle(e).outlineWidth) >= 2 && getComputedStyle(e).outlineStyle !== "none" ? "" : " (unmarked)"))(document.activeElement)`))
	}
	return stops
}

func TestTheKeyboardReachesEverythingAndShowsWhereItIs(t *testing.T) {
	b := visit(t, pagetest.Mixed(12), "/", screen(1200, 900, "light"))

	stops := b.tabbed(60)

	if stops[0] != "a #tenants" {
		t.Errorf("the first stop is %s", stops[0])
	}
	last := -1
	for _, want := range []string{
		"a #tenants", "a ?refresh=on", "a ?state=overdue#tenants", "a ?state=ok#tenants", "summary Ages as a table", "summary Calendar as a table", "div servers-h", "div runs-h",
		"input q", "select state", "input server", "select sort", "button Show", "div tenants-h", "a ?sort=age#tenants",
	} {
		at := slices.Index(stops[last+1:], want)
		if at < 0 {
			t.Fatalf("%s is not reached after stop %d of %q", want, last, stops)
		}
		last += 1 + at
	}
	for _, stop := range stops {
		if strings.HasSuffix(stop, "(unmarked)") && !strings.HasPrefix(stop, "body") {
			t.Errorf("no mark shows the focus on %s", stop)
		}
	}
}

func TestTheSkipLinkLeadsToTheTenants(t *testing.T) {
	b := visit(t, pagetest.Mixed(300), "/", screen(1200, 900, "light"))

	b.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	stops := b.tabbed(1)

	if stops[0] != "input q" {
		t.Errorf("the next stop is %s", stops[0])
	}
}

func TestTenThousandTenantsAreSearchedByKeyboard(t *testing.T) {
	b := visit(t, pagetest.Mixed(10_000), "/", screen(1200, 900, "light"))
	if n := eval[int](b, `document.querySelectorAll("*").length`); n > 6000 {
		t.Errorf("the page has %d elements", n)
	}
	if got := eval[string](b, `document.querySelector(".found").textContent`); got != "1–100 of 10,000" {
		t.Errorf("it shows %s", got)
	}

	b.run(chromedp.Focus(`input[name=q]`), chromedp.KeyEvent("customer-4711."))
	b.leaving(chromedp.KeyEvent(kb.Enter))

	if got := eval[[]string](b, `[...document.querySelectorAll(".tenants .user")].map(e => e.textContent)`); len(got) != 1 || got[0] != "admin@customer-4711.example" {
		t.Errorf("found %q", got)
	}
	if hash := eval[string](b, "location.hash"); hash != "#tenants" {
		t.Errorf("the reader is at %q, not at the table", hash)
	}
	if top := eval[float64](b, `document.querySelector(".tenants").getBoundingClientRect().top`); top < 0 || top > 900 {
		t.Errorf("the table is at %g, out of sight", top)
	}
	if said := b.complaints(); len(said) > 0 {
		t.Errorf("the browser says %q", said)
	}
}

func TestTenThousandTenantsAreTurnedOverAndSorted(t *testing.T) {
	b := visit(t, pagetest.Mixed(10_000), "/", screen(1200, 900, "light"))

	b.leaving(chromedp.Click(`a[rel=next]`))
	if got := eval[string](b, `document.querySelector(".found").textContent`); got != "101–200 of 10,000" {
		t.Errorf("the next page is %s", got)
	}
	b.leaving(chromedp.Click(`th.c-tenant a`))
	got := eval[[]string](b, `[...document.querySelectorAll(".tenants .id")].map(e => e.textContent)`)
	if len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("%d rows, from %s on", len(got), got[0])
	}
}

// leaving runs a step that opens another page, and waits for that page.
func (b *tab) leaving(step action) {
	b.t.Helper()
	b.run(mark("document.body.dataset.old = 'yes'"), step, chromedp.WaitReady("body:not([data-old]) footer"))
}

// mark changes something in the page.
func mark(statement string) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool]("("+statement+", true)")(ctx, target)
		return err
	})
}

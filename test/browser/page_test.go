package browsertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// states are the states of the page during a daemon's life.
func states() map[string]status.Snapshot {
	long := pagetest.Mixed(12)
	for i := range long.Tenants {
		long.Tenants[i].User = strings.Repeat("very-long-user", 30)
		long.Tenants[i].Origin = rotator.Origin("https://" + strings.Repeat("long", 40))
		long.Tenants[i].Reason = strings.Repeat("without-a-space", 40)
		long.Tenants[i].Outcome = rotator.Failed
	}
	return map[string]status.Snapshot{
		"unread": pagetest.Unread(), "empty": pagetest.Empty(), "refused": pagetest.Refused(), "sealed": pagetest.Sealed(300),
		"healthy": pagetest.Healthy(300), "mixed": pagetest.Mixed(300), "few": pagetest.Mixed(12), "long": long,
		"uninhabited": pagetest.Uninhabited(), "waiting": pagetest.Waiting(), "misconfigured": pagetest.Misconfigured(12),
		"unverified": pagetest.Unverified(12), "stuck": pagetest.Single(12, pagetest.Stuck), "unreadable": pagetest.Single(12, pagetest.Unreadable),
	}
}

func TestTheBrowserHasNothingToComplainOf(t *testing.T) {
	for name, snapshot := range states() {
		t.Run(name, func(t *testing.T) {
			b := visit(t, snapshot, "/")
			b.open("/?q=%3Cscript%3Ealert(1)%3C/script%3E&sort=-age")

			if said := b.complaints(); len(said) > 0 {
				t.Errorf("it says %q", said)
			}
			if elsewhere := b.elsewhere(); len(elsewhere) > 0 {
				t.Errorf("it asked for %q", elsewhere)
			}
		})
	}
}

// Verifies that the test above would notice a violation.
func TestAViolationOfThePolicyWouldBeHeard(t *testing.T) {
	good := httptest.NewRecorder()
	page.New(pagetest.Config(pagetest.Healthy(12))).ServeHTTP(good, httptest.NewRequest(http.MethodGet, "/", nil))
	for name, evil := range map[string]string{
		"a style": `<p style="color:red">x</p>`, "a script": `<script>document.title = "pwned"</script>`, "an image": `<img src="http://192.0.2.1/x.png">`,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Security-Policy", good.Header().Get("Content-Security-Policy"))
				_, _ = io.WriteString(w, strings.Replace(good.Body.String(), "<main>", "<main>"+evil, 1))
			}))
			defer server.Close()

			b := visitServer(t, server, "/")

			if len(b.complaints()) == 0 {
				t.Error("the browser said nothing")
			}
			if title := eval[string](b, "document.title"); title == "pwned" {
				t.Error("the script ran")
			}
		})
	}
}

func TestNothingIsWiderThanTheScreen(t *testing.T) {
	for name, snapshot := range states() {
		for _, width := range []int64{320, 360, 390, 700, 1000, 1200} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				b := visit(t, snapshot, "/", screen(width, 740, "light"))

				if got := eval[int64](b, "document.documentElement.scrollWidth"); got > width {
					t.Errorf("the page is %d pixels wide; too wide are %s", got, eval[string](b, tooWide))
				}
				asCards, asTable := width < 704, width >= 1200 && name != "long"
				if cut := eval[string](b, cutTables); (asCards || asTable) && cut != "" {
					t.Errorf("columns are outside of the screen in %s", cut)
				}
			})
		}
	}
}

// tooWide names the elements that overflow, so that they can be found.
const tooWide = `[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth)
	.map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`

// cutTables names the tables that have to be scrolled sideways.
const cutTables = `[...document.querySelectorAll(".scroll")].filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth)
	.map(e => e.getAttribute("aria-labelledby")).join(" ")`

// Somebody types from it: no line may end within an option, or hide a part.
func TestACommandBreaksOnlyBetweenWords(t *testing.T) {
	for name, snapshot := range states() {
		for _, width := range []int64{320, 390, 1200} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				b := visit(t, snapshot, "/", screen(width, 740, "light"))

				if broken := eval[[]string](b, brokenWords); len(broken) > 0 {
					t.Errorf("broken are %q", broken)
				}
			})
		}
	}
}

// brokenWords returns the words of commands that take more than one line, although a line
// has room for them.
const brokenWords = `[...document.querySelectorAll("code span")].filter(e => {
	const range = document.createRange();
	range.selectNodeContents(e);
	return new Set([...range.getClientRects()].map(r => r.top)).size > 1 && e.textContent.length < 30;
}).map(e => e.textContent)`

// The rows become cards, which must keep the roles of a table.
func TestOnAPhoneTheTableIsStillATable(t *testing.T) {
	b := visit(t, pagetest.Mixed(300), "/", screen(360, 740, "light"))

	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Role != nil && !n.Ignored {
			roles[strings.Trim(string(n.Role.Value), `"`)]++
		}
	}

	if roles["row"] < 100 || roles["cell"] < 700 || roles["rowheader"] < 100 {
		t.Errorf("roles: %v", roles)
	}
	if display := eval[string](b, `getComputedStyle(document.querySelector(".tenants td")).display`); display != "grid" {
		t.Errorf("the cells are %s, not cards", display)
	}
}

func TestLightAndDarkDifferAndCanBeRead(t *testing.T) {
	papers := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		for name, snapshot := range states() {
			t.Run(scheme+" "+name, func(t *testing.T) {
				b := visit(t, snapshot, "/", screen(1200, 900, scheme))
				b.run(mark(`document.querySelectorAll("details").forEach(d => d.open = true)`))

				texts := eval[[]struct {
					Text  string
					Ratio float64
				}](b, contrasts)

				if len(texts) < 15 {
					t.Fatalf("only %d texts were measured", len(texts))
				}
				for _, text := range texts {
					if text.Ratio < 4.5 {
						t.Errorf("%q has a contrast of %.2f", text.Text, text.Ratio)
					}
				}
				papers[scheme] = eval[string](b, "getComputedStyle(document.body).backgroundColor")
			})
		}
	}
	if papers["light"] == papers["dark"] {
		t.Errorf("both are on %s", papers["light"])
	}
}

// contrasts returns each visible text's contrast to its background, as WCAG computes
// it. The number in a bar or a day lies on the rectangle before it.
const contrasts = `(() => {
	const parts = c => c.match(/[\d.]+/g).map(Number);
	const clear = c => c === "none" || c === "transparent" || (parts(c).length > 3 && parts(c)[3] === 0);
	const luminance = c => { const [r, g, b] = parts(c).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
	const behind = e => {
		for (let n = e; n; n = n.parentElement) { const c = getComputedStyle(n).backgroundColor; if (!clear(c)) return c }
		return "rgb(255, 255, 255)";
	};
	const all = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement, style = getComputedStyle(e), text = walker.currentNode.data.trim();
		if (!text || ["OPTION", "TITLE", "DESC", "title", "desc", "STYLE"].includes(e.tagName) || !e.checkVisibility() || e.closest(".skip")) continue;
		let front = style.color, back = behind(e);
		if (e.namespaceURI.endsWith("svg")) {
			front = style.fill;
			const r = e.previousElementSibling;
			if (e.closest(".calendar") && r && r.tagName === "rect") back = getComputedStyle(r).fill;
		}
		const [a, b] = [luminance(front), luminance(back)].sort((x, y) => y - x);
		all.push({Text: text.slice(0, 40), Ratio: (a + .05) / (b + .05)});
	}
	return all;
})()`

func TestShapesStandOutToo(t *testing.T) {
	for _, scheme := range []string{"light", "dark"} {
		b := visit(t, pagetest.Mixed(300), "/", screen(1200, 900, scheme))

		shapes := eval[map[string]int](b, `[...document.querySelectorAll(".tiles use")].reduce((n, u) => { const h = u.getAttribute("href"); n[h] = (n[h] || 0) + 1; return n }, {})`)

		if len(shapes) != 7 {
			t.Errorf("%s: seven tiles share %d shapes: %v", scheme, len(shapes), shapes)
		}
	}
}

// Nothing is animated, whatever prefers-reduced-motion says.
func TestNothingMoves(t *testing.T) {
	b := visit(t, pagetest.Mixed(300), "/")

	moving := eval[[]string](b, `[document.documentElement, ...document.querySelectorAll("*")].filter(e => {
		const s = getComputedStyle(e);
		return s.scrollBehavior !== "auto" || s.animationName !== "none" || s.transitionDuration !== "0s";
	}).map(e => e.tagName)`)

	if len(moving) > 0 {
		t.Errorf("%q move", moving)
	}
}

func TestOnPaperThereIsNothingToClick(t *testing.T) {
	b := visit(t, pagetest.Mixed(300), "/", call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}))

	if shown := eval[[]string](b, `[...document.querySelectorAll("form, nav, .skip, summary")].filter(e => e.checkVisibility()).map(e => e.tagName)`); len(shown) > 0 {
		t.Errorf("on paper are %q", shown)
	}
	if !eval[bool](b, `document.querySelector(".tenants").checkVisibility()`) {
		t.Error("the tenants are not on paper")
	}
}

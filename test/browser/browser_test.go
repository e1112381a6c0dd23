// Package browsertest opens the status page in a real headless Chromium. It is a
// separate module, so that the shipped one does not depend on a browser driver.
//
// The browser is found on PATH (scripts/tools.sh chromium installs it) and connects
// only to loopback.
package browsertest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator/status"
)

// patience limits one test on a busy machine.
const patience = 3 * time.Minute

// browser is shared by all tests; each has its own tab.
var browser context.Context

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path, err := find("chromium", "chromium-browser", "google-chrome")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	defer stop()
	var cancel context.CancelFunc
	browser, cancel = chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintln(os.Stderr, "start chromium:", err)
		return 1
	}
	return m.Run()
}

func find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no Chromium on PATH, and the page is proven in a real browser: run scripts/tools.sh chromium, which `make test` does first")
}

// tab is a browser tab that shows a page, with the browser's messages about it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string // of the server

	mu       sync.Mutex
	said     []string // complaints of the console and of the policy
	requests []string
}

// visit opens the page of a snapshot, and runs actions before loading it.
func visit(t *testing.T, s status.Snapshot, path string, before ...action) *tab {
	t.Helper()
	server := httptest.NewServer(page.New(pagetest.Config(s)))
	t.Cleanup(server.Close)
	return visitServer(t, server, path, before...)
}

func visitServer(t *testing.T, server *httptest.Server, path string, before ...action) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, origin: server.URL}
	b.run()
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.run(call(network.Enable, network.EnableParams{}), call(log.Enable, cdp.Empty{}), call(audits.Enable, cdp.Empty{}))
	b.run(before...)
	b.open(path)
	return b
}

// hear records what the browser's console would show.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded:
		b.said = append(b.said, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		b.said = append(b.said, "console "+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			b.said = append(b.said, "policy: "+e.Issue.Details.ContentSecurityPolicyIssueDetails.ViolatedDirective)
		}
	}
}

// complaints are the browser's messages so far.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.said...)
}

// elsewhere are requests to servers other than the page's own.
func (b *tab) elsewhere() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if !strings.HasPrefix(url, b.origin+"/") && !strings.HasPrefix(url, "data:") {
			all = append(all, url)
		}
	}
	return all
}

// action is a step without a result.
type action = chromedp.Action[chromedp.Void]

// call is a command of the browser's protocol whose answer is ignored.
func call[P, R any](command cdp.Command[P, R], params P) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

func (b *tab) run(steps ...action) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.origin+path), chromedp.WaitReady("footer"))
}

// eval runs an expression in the page and returns its value.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// screen sets the window size and a light or dark scheme.
func screen(width, height int64, scheme string) action {
	return chromedp.Steps(
		call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500,
		}),
		prefers("color-scheme", scheme),
	)
}

// prefers sets a preference that style sheets can query.
func prefers(name, value string) action {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-" + name, Value: value}},
	})
}

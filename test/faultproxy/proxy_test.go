package faultproxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/test/faultproxy"
)

// counted is a server that says "real" and counts what reaches it.
func counted(t *testing.T) (*faultproxy.Proxy, *atomic.Int32) {
	t.Helper()
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		served.Add(1)
		w.Header().Set("X-Path", r.URL.EscapedPath())
		_, _ = io.WriteString(w, "real"+string(body))
	}))
	t.Cleanup(server.Close)
	return proxyFor(t, server.URL), &served
}

func proxyFor(t *testing.T, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// post makes one attempt, on a connection of its own.
func post(ctx context.Context, url, body string) (status int, answer string, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func wantAnswer(t *testing.T, p *faultproxy.Proxy, status int, body string) {
	t.Helper()
	gotStatus, gotBody, err := post(t.Context(), p.URL+"/a", "!")
	if err != nil || gotStatus != status || gotBody != body {
		t.Fatalf("got %d %q %v, want %d %q", gotStatus, gotBody, err, status, body)
	}
}

func wantReset(t *testing.T, p *faultproxy.Proxy) {
	t.Helper()
	if _, _, err := post(t.Context(), p.URL+"/a", "!"); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a connection reset", err)
	}
}

func wantServed(t *testing.T, served *atomic.Int32, want int32) {
	t.Helper()
	if got := served.Load(); got != want {
		t.Fatalf("the server met %d requests, want %d", got, want)
	}
}

func TestForwardsWithoutFaults(t *testing.T) {
	p, served := counted(t)

	wantAnswer(t, p, http.StatusOK, "real!")

	wantServed(t, served, 1)
}

func TestStatusNeverReachesTheServer(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 429, Body: "slow down", Header: http.Header{"Retry-After": {"1"}}})

	wantAnswer(t, p, 429, "slow down")

	wantServed(t, served, 0)
}

func TestResetBeforeNeverReachesTheServer(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore})

	wantReset(t, p)

	wantServed(t, served, 0)
}

func TestResetAfterTakesEffect(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.ResetAfter})

	wantReset(t, p)

	wantServed(t, served, 1)
}

func TestStatusAfterTakesEffect(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.StatusAfter, Status: 502, Body: "bad gateway"})

	wantAnswer(t, p, 502, "bad gateway")

	wantServed(t, served, 1)
}

func TestDelayForwardsLate(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Delay, Delay: 50 * time.Millisecond})
	before := time.Now()

	wantAnswer(t, p, http.StatusOK, "real!")

	if took := time.Since(before); took < 50*time.Millisecond {
		t.Errorf("answered after %s, want 50ms at least", took)
	}
	wantServed(t, served, 1)
}

func TestHangEndsWhenTheClientGivesUp(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	_, _, err := post(ctx, p.URL, "")

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the client's own deadline", err)
	}
	wantServed(t, served, 0)
}

func TestCloseEndsHangingRequests(t *testing.T) {
	p, _ := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Hang})
	hung := make(chan error, 1)
	go func() {
		_, _, err := post(context.Background(), p.URL, "")
		hung <- err
	}()
	for p.Count("", "") == 0 {
		time.Sleep(time.Millisecond)
	}

	p.Close()

	if err := <-hung; err == nil {
		t.Fatal("the hanging request was answered")
	}
}

func TestTimesLimitsAFault(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 500, Times: 2})
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 501, Times: 1})

	wantAnswer(t, p, 500, "")
	wantAnswer(t, p, 500, "")
	wantAnswer(t, p, 501, "")
	wantAnswer(t, p, http.StatusOK, "real!")

	wantServed(t, served, 1)
}

func TestClearEndsFaults(t *testing.T) {
	p, _ := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status})
	wantAnswer(t, p, http.StatusServiceUnavailable, "")

	p.Clear()

	wantAnswer(t, p, http.StatusOK, "real!")
}

func TestMatchMayReadTheBody(t *testing.T) {
	p, _ := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 418, Match: func(r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		return string(body) == "tea"
	}})
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 404, Match: faultproxy.On(http.MethodPost, "/nowhere")})

	teaStatus, _, teaErr := post(t.Context(), p.URL, "tea")
	pathStatus, _, pathErr := post(t.Context(), p.URL+"/nowhere", "")

	if teaErr != nil || teaStatus != 418 || pathErr != nil || pathStatus != 404 {
		t.Errorf("got %d %v and %d %v, want 418 and 404", teaStatus, teaErr, pathStatus, pathErr)
	}
	wantAnswer(t, p, http.StatusOK, "real!")
}

func TestRequestsRecordsAllThatArrived(t *testing.T) {
	p, _ := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.ResetBefore, Match: faultproxy.On("", "/a")})

	wantReset(t, p)
	_, _, _ = post(t.Context(), p.URL+"/b%2Fc?d=e", "")

	want := []faultproxy.Request{{Method: "POST", Path: "/a"}, {Method: "POST", Path: "/b%2Fc"}}
	if got := p.Requests(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := p.Count("POST", "/a"); got != 1 {
		t.Errorf("counted %d requests for /a, want 1", got)
	}
}

func TestDeadServerLooksDead(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	p := proxyFor(t, server.URL)
	server.Close()

	wantReset(t, p)
}

func TestUnknownKindIsToldToTheTest(t *testing.T) {
	p, _ := counted(t)
	p.Inject(faultproxy.Fault{})

	status, answer, err := post(t.Context(), p.URL, "")

	if err != nil || status != http.StatusNotImplemented || !strings.Contains(answer, "set Kind") {
		t.Errorf("got %d %q %v", status, answer, err)
	}
}

func TestTargetMustBeAnOrigin(t *testing.T) {
	for _, target := range []string{"", "127.0.0.1:8200", "/v1", "http://"} {
		if _, err := faultproxy.NewProxy(target); err == nil {
			t.Errorf("%q was accepted", target)
		}
	}
}

func TestThenIsCalledOnceTheEffectIsCertain(t *testing.T) {
	tests := map[string]struct {
		kind   faultproxy.Kind
		served int32 // requests that the server has received so far
	}{
		"status":       {faultproxy.Status, 0},
		"status after": {faultproxy.StatusAfter, 1},
		"reset before": {faultproxy.ResetBefore, 0},
		"reset after":  {faultproxy.ResetAfter, 1},
		"delay":        {faultproxy.Delay, 0},
		"late effect":  {faultproxy.LateEffect, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, served := counted(t)
			then := make(chan int32, 1)
			p.Inject(faultproxy.Fault{Kind: test.kind, Delay: 10 * time.Millisecond, Times: 1, Then: func() { then <- served.Load() }})

			_, _, _ = post(t.Context(), p.URL, "") // other tests check how it ends

			select {
			case got := <-then:
				if got != test.served {
					t.Errorf("the server had met %d requests, want %d", got, test.served)
				}
			default:
				t.Error("the client was answered first")
			}
		})
	}
}

func TestLateEffectComesAfterTheClientWasTold(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.LateEffect, Delay: 50 * time.Millisecond, Times: 1})

	wantReset(t, p)
	wantServed(t, served, 0)

	p.Settle()
	wantServed(t, served, 1)
}

func TestCloseDropsLateEffects(t *testing.T) {
	p, served := counted(t)
	p.Inject(faultproxy.Fault{Kind: faultproxy.LateEffect, Delay: time.Hour})
	wantReset(t, p)

	p.Close()

	wantServed(t, served, 0)
}

func TestAWithdrawnFaultIsNotMet(t *testing.T) {
	p, _ := counted(t)
	withdraw := p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 500})
	p.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: 418, Times: 1})

	withdraw()

	wantAnswer(t, p, 418, "")
	wantAnswer(t, p, http.StatusOK, "real!")
}

package vault_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/faultproxy"
)

// Vault's KV engine itself returns numbers as 64-bit floats to every client. So the
// client can only keep what it receives. Two tests check this: one on the client's
// handling of digits, one on the real round trip.

func TestNumbersPassThroughDigitForDigit(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	fields := `{"big":9007199254740993,"huge":1e400,"one":1.0,"exp":1E+2,"nested":{"list":[1.50,{"x":-0.0}]}}`
	f.proxy.Inject(faultproxy.Fault{
		Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: http.StatusOK,
		Body: `{"data":{"data":` + fields + `,"metadata":{"version":1}}}`,
	})
	var sent string
	f.proxy.Inject(faultproxy.Fault{Kind: faultproxy.Status, Status: http.StatusBadRequest, Match: func(r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		sent = string(body)
		return true
	}})

	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	_, _ = c.Write(t.Context(), tenant, doc)

	if text := canonical(t, doc.Fields); text != canonicalText(t, fields) {
		t.Errorf("read  %s\nwant %s", text, canonicalText(t, fields))
	}
	if !strings.Contains(sent, `"data":`+canonicalText(t, fields)) {
		t.Errorf("sent %s\nwant %s", sent, canonicalText(t, fields))
	}
}

func TestUnknownFieldsSurviveAWrite(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{
		"big": json.Number("9007199254740993"), "small": json.Number("1.50"), "text": "<&>é\u2028", "nil": nil,
		"nested": map[string]any{"list": []any{true, "x", map[string]any{}}, "empty": []any{}},
	})
	c := f.open(t, f.rootAuth())

	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	version, err := c.Write(t.Context(), tenant, doc)
	must(t, err)
	again, err := c.Read(t.Context(), tenant)
	must(t, err)

	if version != 2 || again.Version != 2 {
		t.Errorf("version %d, then %d, want 2", version, again.Version)
	}
	want := `{"big":9007199254740992,"nested":{"empty":[],"list":[true,"x",{}]},"nil":null,"small":1.5,"text":"\u003c\u0026\u003eé\u2028"}`
	for _, fields := range []map[string]any{doc.Fields, again.Fields} {
		if text := canonical(t, fields); text != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
	}
}

func canonical(t *testing.T, fields map[string]any) string {
	t.Helper()
	text, err := json.Marshal(fields)
	must(t, err)
	return string(text)
}

func canonicalText(t *testing.T, text string) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var fields map[string]any
	must(t, decoder.Decode(&fields))
	return canonical(t, fields)
}

func TestWriteAgainstAnotherVersionIsAConflict(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	f.withTenant(t, map[string]any{"v": "2"})

	_, err = c.Write(t.Context(), tenant, doc)

	if !errors.Is(err, rotator.ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	if fields, version, _ := f.server.Get(t.Context(), "smtp/"+string(tenant)+"/admin"); version != 2 || fields["v"] != "2" {
		t.Errorf("the record is %v, version %d", fields, version)
	}
}

func TestRetryOfAWriteThatLandedIsAConflict(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.ResetAfter, Times: 1})

	_, err := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})

	if !errors.Is(err, rotator.ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	if fields, version, _ := f.server.Get(t.Context(), "smtp/"+string(tenant)+"/admin"); version != 2 || fields["v"] != "2" {
		t.Errorf("the record is %v, version %d", fields, version)
	}
	if n := f.proxy.Count("PUT", dataOf); n != 2 {
		t.Errorf("%d writes were sent, want 2", n)
	}
}

func TestWriteOfUnknownOutcomeIsNotForbidden(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.ResetAfter, Times: 1})
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.Status, Status: 403, Body: `{"errors":["permission denied"]}`})

	_, err := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})

	if err == nil || errors.Is(err, rotator.ErrForbidden) || errors.Is(err, rotator.ErrConflict) {
		t.Fatalf("got %v: the first try has landed, so nothing may be claimed", err)
	}
}

// A proxy may answer like this after Vault has executed the request.
func TestAProxysRefusalSaysNothingOfTheRecord(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, status := range []int{403, 404} {
		for _, body := range []string{"", "<html>", `{"message":"no"}`} {
			f.proxy.Clear()
			f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("", dataOf), Kind: faultproxy.Status, Status: status, Body: body})

			_, read := c.Read(t.Context(), tenant)
			_, write := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})

			for _, err := range []error{read, write} {
				if err == nil || errors.Is(err, rotator.ErrForbidden) || errors.Is(err, rotator.ErrAbsent) || strings.Contains(err.Error(), "policy") {
					t.Errorf("%d %q: got %v", status, body, err)
				}
			}
		}
	}
}

// The refusal of the second token says nothing about the effect of the first try.
func TestWriteOfUnknownOutcomeStaysSoWithAnotherToken(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))
	refuse := func(words string, times int) {
		f.proxy.Inject(faultproxy.Fault{
			Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.Status, Status: 403, Body: `{"errors":["` + words + `"]}`, Times: times,
		})
	}
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.ResetAfter, Times: 1})
	refuse("invalid token", 1)
	refuse("permission denied", 0)

	_, err := c.Write(t.Context(), tenant, rotator.Document{Version: 1, Fields: map[string]any{"v": "2"}})

	if err == nil || errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
	if n := f.proxy.Count("PUT", loginOf); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestWorkersKeepTheirConnections(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	var dialled atomic.Int32
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			dialled.Add(1)
		}
	}})

	err := concurrently(f.config.Workers, func() error {
		for range 20 {
			if _, err := c.Read(ctx, tenant); err != nil {
				return err
			}
		}
		return nil
	})

	must(t, err)
	if n := int(dialled.Load()); n > f.config.Workers {
		t.Errorf("%d connections for %d workers", n, f.config.Workers)
	}
}

func TestNamesThatLeaveThePrefixAreRefused(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	sent := len(f.proxy.Requests())

	for _, name := range []rotator.TenantID{"../x", "", "..", tenant + "/../" + another, tenant + "/", "%2e%2e"} {
		if _, err := c.Read(t.Context(), name); err == nil {
			t.Errorf("read %q succeeded", name)
		}
		if _, err := c.Write(t.Context(), name, rotator.Document{Version: 1}); err == nil {
			t.Errorf("write %q succeeded", name)
		}
	}

	if n := len(f.proxy.Requests()); n != sent {
		t.Errorf("%d requests were sent", n-sent)
	}
}

func TestListGivesEveryEntryOnce(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, path := range []string{"smtp/" + string(tenant), "smtp/" + string(another), "smtp/readme", "smtp/not-a-uuid/admin"} {
		must(t, f.server.Put(t.Context(), path, map[string]any{"v": "1"}))
	}

	names, err := listed(c.List(t.Context()))

	must(t, err)
	slices.Sort(names)
	want := []string{string(another), string(tenant), "not-a-uuid", "readme"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if _, err := c.Read(t.Context(), another); !errors.Is(err, rotator.ErrAbsent) {
		t.Errorf("a plain entry reads as a tenant: %v", err)
	}
}

func TestARotationCostsOneReadAndTwoWrites(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	before := len(f.proxy.Requests())

	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	for range 2 {
		doc.Version, err = c.Write(t.Context(), tenant, doc)
		must(t, err)
	}

	requests := f.proxy.Requests()[before:]
	want := []faultproxy.Request{{Method: "GET", Path: dataOf}, {Method: "PUT", Path: dataOf}, {Method: "PUT", Path: dataOf}}
	if !slices.Equal(requests, want) {
		t.Errorf("got %v, want %v", requests, want)
	}
}

func TestHugeAnswersAreCut(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.rootAuth())
	for _, status := range []int{http.StatusOK, http.StatusNotFound} {
		f.proxy.Clear()
		f.proxy.Inject(faultproxy.Fault{
			Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Status, Status: status,
			Body: `{"data":{"data":{"v":"` + strings.Repeat("x", 9<<20) + `"}}}`,
		})

		_, err := c.Read(t.Context(), tenant)

		if err == nil || errors.Is(err, rotator.ErrAbsent) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("status %d: got %v", status, err)
		}
	}
}

func TestForbiddenNamesThePolicyLine(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	c := f.open(t, auth)
	must(t, f.server.WritePolicy(t.Context(), "rotator", `path "vault/metadata/smtp/" { capabilities = ["list"] }`))
	logins := f.proxy.Count("PUT", loginOf)

	_, readErr := c.Read(t.Context(), tenant)
	_, writeErr := c.Write(t.Context(), tenant, rotator.Document{Version: 1})
	_, keyErr := c.MasterKeys(t.Context())

	for _, c2 := range []struct {
		err  error
		says string
	}{
		{readErr, `path "vault/data/smtp/+/admin" { capabilities = ["read"] }`},
		{writeErr, `path "vault/data/smtp/+/admin" { capabilities = ["update"] }`},
		{keyErr, `path "transit/export/encryption-key/smtp-master" { capabilities = ["read"] }`},
	} {
		if !errors.Is(c2.err, rotator.ErrForbidden) || !strings.Contains(c2.err.Error(), c2.says) || strings.Contains(c2.err.Error(), "\n") {
			t.Errorf("got %v, want ErrForbidden saying %s", c2.err, c2.says)
		}
	}
	if n := f.proxy.Count("PUT", loginOf); n != logins {
		t.Errorf("a missing permission led to %d logins", n-logins)
	}
}

func TestStalledAnswerEndsWithTheTry(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.config.TryTimeout = 300 * time.Millisecond
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("GET", dataOf), Kind: faultproxy.Hang, Times: 1})

	doc, err := c.Read(within(t, 10*time.Second), tenant)

	if err != nil || doc.Version != 1 {
		t.Errorf("got %v, %v: the second try should have succeeded", doc, err)
	}
}

func TestCreateMakesTheFirstVersion(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())

	version, err := c.Create(t.Context(), tenant, map[string]any{"v": "1"})
	must(t, err)

	doc, err := c.Read(t.Context(), tenant)
	must(t, err)
	if version != 1 || doc.Version != 1 || doc.Fields["v"] != "1" {
		t.Errorf("version %d, then %+v", version, doc)
	}
}

// Any remainder of a record prevents the creation of another.
func TestCreateWhereThereIsARecordIsAConflict(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T, *fixture){
		"current": func(*testing.T, *fixture) {},
		"deleted": func(t *testing.T, f *fixture) { f.delete(t, "vault/data/smtp/"+string(tenant)+"/admin") },
		"destroyed": func(t *testing.T, f *fixture) {
			f.write(t, "vault/destroy/smtp/"+string(tenant)+"/admin", map[string]any{"versions": []int{1}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
			arrange(t, f)
			c := f.open(t, f.rootAuth())

			_, err := c.Create(t.Context(), tenant, map[string]any{"v": "2"})

			if !errors.Is(err, rotator.ErrConflict) {
				t.Errorf("got %v, want ErrConflict", err)
			}
		})
	}
}

func TestCreateAfterTheMetadataWasDeleted(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	f.delete(t, "vault/metadata/smtp/"+string(tenant)+"/admin")
	c := f.open(t, f.rootAuth())

	version, err := c.Create(t.Context(), tenant, map[string]any{"v": "2"})

	if err != nil || version != 1 {
		t.Errorf("version %d, %v", version, err)
	}
}

func TestRetryOfACreationThatLandedIsAConflict(t *testing.T) {
	f := newFixture(t)
	c := f.open(t, f.rootAuth())
	f.proxy.Inject(faultproxy.Fault{Match: faultproxy.On("PUT", dataOf), Kind: faultproxy.ResetAfter, Times: 1})

	_, err := c.Create(t.Context(), tenant, map[string]any{"v": "1"})

	if !errors.Is(err, rotator.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
}

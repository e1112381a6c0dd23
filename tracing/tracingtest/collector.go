// Package tracingtest is an OTLP collector for tests: a real HTTP server that decodes
// requests with OpenTelemetry's own protocol definitions and keeps them.
package tracingtest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one span as it came.
type Span struct {
	Name       string
	ID         string // hexadecimal, as all ids
	Parent     string // empty: none
	Trace      string
	Error      string // empty: its status is no error
	Attributes map[string]string
	Resource   map[string]string
}

// Collector answers POST /v1/traces.
type Collector struct {
	URL string

	mu      sync.Mutex // guards the fields below
	spans   []Span
	bodies  []byte
	headers []http.Header
	faults  []error
}

// Start runs a collector until the test ends. A request that is not OTLP fails
// the test.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	c.URL = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := errors.Join(c.faults...); err != nil {
			t.Errorf("the collector was sent what is no OTLP: %v", err)
		}
	})
	return c
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers, c.bodies = append(c.headers, r.Header.Clone()), append(c.bodies, body...)
	if err == nil {
		err = c.take(r, body)
	}
	if err != nil {
		c.faults = append(c.faults, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *Collector) take(r *http.Request, body []byte) error {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("%s %s, %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, of := range request.ResourceSpans {
		resource := values(of.Resource.GetAttributes())
		for _, in := range of.ScopeSpans {
			for _, s := range in.Spans {
				c.spans = append(c.spans, Span{
					Name: s.Name, ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Trace: hex.EncodeToString(s.TraceId), Error: s.GetStatus().GetMessage(),
					Attributes: values(s.Attributes), Resource: resource,
				})
			}
		}
	}
	return nil
}

func values(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		m[one.Key] = one.Value.GetStringValue()
	}
	return m
}

// Spans returns the spans received so far, in the order in which they ended.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Headers returns the headers of each request.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.headers...)
}

// Bytes returns everything received, as it was on the wire.
func (c *Collector) Bytes() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.bodies)
}

package tracing

import (
	"context"
	"fmt"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter keeps the errors of another exporter from OpenTelemetry's global error
// handler, which would print each of them to stderr. It can be switched off.
type exporter struct {
	sdktrace.SpanExporter
	failed func(error)
	told   atomic.Bool // in this run
	over   context.Context
	giveUp context.CancelFunc
}

func newExporter(to sdktrace.SpanExporter, failed func(error)) *exporter {
	e := &exporter{SpanExporter: to, failed: failed}
	e.over, e.giveUp = context.WithCancel(context.Background())
	return e
}

// forgive begins a run, in which a failure is reported again.
func (e *exporter) forgive() { e.told.Store(false) }

// ExportSpans implements sdktrace.SpanExporter. It never fails.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.over, cancel)
	defer stop()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && !e.told.Swap(true) {
		// The server's answer may be a whole page.
		e.failed(fmt.Errorf("%.500s", err.Error()))
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error {
	e.giveUp()
	return e.SpanExporter.Shutdown(ctx)
}

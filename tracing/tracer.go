package tracing

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"mailu-rotator/rotator"
)

// Tracer exports the parts of runs.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// Start returns a running tracer, or nil if the environment does not ask for one.
// failed receives, at most once a run, the reason why spans could not be exported; any
// goroutine may call it. The owner must call [Tracer.Close].
func Start(env func(string) string, version string, failed func(error)) (*Tracer, error) {
	if !Wanted(env) {
		return nil, nil
	}
	if err := check(env); err != nil {
		return nil, err
	}
	ctx := context.Background() // neither of the two calls connects to anything
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "mailu-rotator"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(),
		resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, fmt.Errorf("describe this process: %w", err)
	}
	otlp, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare the export of traces: %w", err)
	}
	t := &Tracer{exporter: newExporter(otlp, failed)}
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(t.exporter), sdktrace.WithResource(described))
	t.tracer = t.provider.Tracer("mailu-rotator", trace.WithInstrumentationVersion(version))
	return t, nil
}

// Trace is a [rotator.Tracer].
func (t *Tracer) Trace(ctx context.Context, part rotator.Part) (context.Context, func(error)) {
	if part.Name == rotator.PartSweep || part.Name == rotator.PartRecovery || part.Name == rotator.PartVerification {
		t.exporter.forgive()
	}
	ctx, span := t.tracer.Start(ctx, string(part.Name), trace.WithAttributes(attributes(part)...))
	return ctx, func(err error) {
		defer span.End()
		failed := err != nil
		if part.Outcome != nil {
			span.SetAttributes(attribute.String("outcome", string(*part.Outcome)))
			failed = failed && part.Outcome.Failure()
		}
		if part.State != nil {
			span.SetAttributes(attribute.String("state", string(*part.State)))
		}
		if failed {
			span.SetStatus(codes.Error, err.Error())
		}
	}
}

// attributes have the names of the log's fields.
func attributes(part rotator.Part) (all []attribute.KeyValue) {
	for _, one := range []struct{ key, value string }{
		{"tenant", part.Tenant}, {"origin", string(part.Origin)}, {"rotation", part.Rotation},
	} {
		if one.value != "" {
			all = append(all, attribute.String(one.key, one.value))
		}
	}
	return all
}

// Close exports the remaining spans and returns when that is done, or ctx has ended.
// Spans that end later are lost.
func (t *Tracer) Close(ctx context.Context) {
	stop := context.AfterFunc(ctx, t.exporter.giveUp)
	defer stop()
	// It waits for the exporter, which ctx ends; with ctx itself it would leave
	// its goroutine behind.
	_ = t.provider.Shutdown(context.WithoutCancel(ctx)) // the exporter reports errors
}

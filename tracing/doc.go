// Package tracing exports the parts of runs as OpenTelemetry spans over
// OTLP/HTTP: run > tenant > step. It is on only where the standard variables
// name an endpoint, see [Wanted]; those of the SDK and the exporter (headers,
// certificates, sampler, batches, limits, resource attributes, service name) have
// the effect that they have everywhere.
//
// It promises:
//
//   - a run never waits for a collector, nor fails with it: spans are queued in
//     bounded memory and dropped when it is full;
//   - a collector that cannot be reached is reported once a run, to the function
//     given to Start, and not to OpenTelemetry's global error handler;
//   - no secret is in a span: it has the fields of the log, and errors, which
//     hold none.
//
// Nothing is sent to Vault or Mailu: requests carry no trace context. The package
// imports only rotator and OpenTelemetry, and sets no OpenTelemetry globals.
package tracing

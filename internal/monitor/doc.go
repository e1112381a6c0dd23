// Package monitor serves a running daemon's state over HTTP: metrics for Prometheus,
// probes for Kubernetes and similar systems, Go's profiles, and the status page.
//
// Its data come from the callbacks of a run ([rotator.Observer], durations of steps, the
// request hooks of the Vault and Mailu clients) and from a [status.Cache]. It sends no
// request and changes nothing, so a scrape costs neither Vault nor Mailu anything, and
// a listener that fails costs no rotation.
//
// Metrics are in their own registry, in base units, with labels of bounded cardinality:
// servers, steps, outcomes; tenants only if enabled. Series that are known in advance
// start at 0, so that rate() sees the first increase. docs/metrics.md lists each of
// them; a test compares.
//
// The only secret that reaches this package is the listener's token, of which it keeps
// a digest. It imports neither vault, nor mailu, nor config.
package monitor

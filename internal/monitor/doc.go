// Package monitor shows a running daemon to those who watch it: metrics for
// Prometheus, probes for Kubernetes and its like, Go's profiles, and whatever
// page it is given, over HTTP.
//
// It learns from the hooks of a run ([rotator.Observer], [rotator.Tracer], the
// request hooks of the Vault and Mailu clients) and from a [rotator.Board]. It
// asks nobody and changes nothing, so a scrape costs neither Vault nor Mailu
// anything, and a listener that fails costs no rotation.
//
// Metrics are in a registry of their own, in base units, with labels of bounded
// cardinality: servers, steps, outcomes; tenants only if asked for. Series that
// can be known in advance are there with 0 from the start, so that rate() sees
// the first increase. docs/metrics.md has each of them; a test compares.
//
// No secret reaches this package but the token that callers show, of which it
// keeps a digest. It imports neither vault, nor mailu, nor config.
package monitor

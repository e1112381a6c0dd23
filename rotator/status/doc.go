// Package status caches how every tenant stands between runs, for the status page, the
// metrics and the next run: a map of small values, filled by the scans of package sweep
// and by the events of package rotator. It holds no secret and sends no request.
package status

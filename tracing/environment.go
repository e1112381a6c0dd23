package tracing

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The variables that this package reads by itself. env is os.Getenv, or a test's
// stand-in; the SDK and the exporter read the process's environment.
const (
	prefix       = "OTEL_EXPORTER_OTLP_"
	tracesPrefix = "OTEL_EXPORTER_OTLP_TRACES_"
)

// Wanted reports whether the environment asks for traces: it names an endpoint
// for them, and turns them off neither by OTEL_SDK_DISABLED=true nor by
// OTEL_TRACES_EXPORTER=none.
func Wanted(env func(string) string) bool {
	return endpoint(env) != "" &&
		!strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") &&
		env("OTEL_TRACES_EXPORTER") != "none"
}

func endpoint(env func(string) string) string {
	return cmp.Or(env(tracesPrefix+"ENDPOINT"), env(prefix+"ENDPOINT"))
}

// check refuses values that the exporter would silently replace by a default, or print
// to stderr in a complaint: a value may be a key.
func check(env func(string) string) error {
	if exporter := env("OTEL_TRACES_EXPORTER"); exporter != "" && exporter != "otlp" {
		return fmt.Errorf("OTEL_TRACES_EXPORTER: %.40q is not supported: set otlp or none", exporter)
	}
	switch protocol := cmp.Or(env(tracesPrefix+"PROTOCOL"), env(prefix+"PROTOCOL")); protocol {
	case "", "http/protobuf", "http/json":
	default:
		return fmt.Errorf("%sPROTOCOL: %.40q is not supported: set http/protobuf, and the endpoint to the collector's port for it, mostly 4318", prefix, protocol)
	}
	if u, err := url.Parse(endpoint(env)); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New(prefix + "ENDPOINT is not a URL such as http://localhost:4318")
	}
	for _, name := range []string{prefix + "HEADERS", tracesPrefix + "HEADERS"} {
		if err := checkHeaders(env(name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// checkHeaders repeats no value: a header may be an API key.
func checkHeaders(list string) error {
	if list == "" {
		return nil
	}
	for i, header := range strings.Split(list, ",") {
		name, value, found := strings.Cut(header, "=")
		if _, err := url.PathUnescape(value); !found || err != nil || !isHeaderName(strings.TrimSpace(name)) {
			return fmt.Errorf("entry %d is not name=value, with the value percent-encoded", i+1)
		}
	}
	return nil
}

// isHeaderName implements RFC 9110, section 5.6.2.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letterOrDigit := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letterOrDigit && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

package tracing

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

// Accepted headers can be sent, and errors never repeat refused ones: one may be an API
// key.
func FuzzEnvironment(f *testing.F) {
	f.Add("http://localhost:4318", "authorization=Bearer%20hunter2hunter2", "http/protobuf", "otlp")
	f.Add("https://u:hunter2hunter2@h", "", "", "")
	f.Add("localhost:4317", "a=b,c", "grpc", "zipkin")
	f.Add("://", "x y=hunter2hunter2", "http/json", "none")
	f.Add("http://h", "k=%zz", "", "")
	f.Add("http://h", " k = v ,b=\r\n", "", "")
	f.Fuzz(func(t *testing.T, endpoint, headers, protocol, exporter string) {
		env := map[string]string{
			prefix + "ENDPOINT": endpoint, prefix + "HEADERS": headers, prefix + "PROTOCOL": protocol, "OTEL_TRACES_EXPORTER": exporter,
		}
		err := check(func(name string) string { return env[name] })
		if err != nil {
			if !strings.Contains(protocol+exporter, "hunter2") && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is repeated: %v", err)
			}
			return
		}
		for header := range strings.SplitSeq(headers, ",") {
			name, _, _ := strings.Cut(header, "=")
			if name = strings.TrimSpace(name); headers != "" && !httpguts.ValidHeaderFieldName(name) {
				t.Errorf("%q is taken for the name of a header (%q)", name, http.CanonicalHeaderKey(name))
			}
		}
	})
}

package rotator_test

import (
	"net/url"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestTenantIDsThatParse(t *testing.T) {
	for _, name := range []string{
		tenantA,
		"00000000-0000-4000-8000-000000000000",
		"ffffffff-ffff-4fff-bfff-ffffffffffff",
		"550E8400-E29B-41D4-A716-446655440000", // kept as written: the key derivation depends on it
		"550e8400-e29b-41d4-9716-446655440000",
		"550e8400-e29b-41d4-B716-446655440000",
	} {
		t.Run(name, func(t *testing.T) {
			tenant, err := rotator.ParseTenantID(name)

			if err != nil || string(tenant) != name {
				t.Errorf("got %q, %v", tenant, err)
			}
		})
	}
}

func TestNamesThatAreNoTenantID(t *testing.T) {
	for _, name := range []string{
		"", "admin", "..", "../x", tenantA + "/", "/" + tenantA, tenantA + "/../x", " " + tenantA, tenantA + "\n",
		"550e8400-e29b-11d4-a716-446655440000", // version 1
		"550e8400-e29b-71d4-a716-446655440000", // version 7
		"550e8400-e29b-41d4-c716-446655440000", // another variant
		"550e8400-e29b-41d4-7716-446655440000",
		"550e8400e29b41d4a716446655440000",
		"{550e8400-e29b-41d4-a716-446655440000}",
		"urn:uuid:550e8400-e29b-41d4-a716-446655440000",
		"550e8400-e29b-41d4-a716-44665544000",
		"550e8400-e29b-41d4-a716-4466554400000",
		"550e8400-e29b-41d4-a716-44665544000g",
		"550e8400_e29b_41d4_a716_446655440000",
		"550e840-0e29b-41d4-a716-446655440000",
		"550e8400-e29b-41d4-a716-4466554400é", // 36 bytes
	} {
		t.Run(name, func(t *testing.T) {
			if tenant, err := rotator.ParseTenantID(name); err == nil || tenant != "" {
				t.Errorf("got %q, %v", tenant, err)
			}
		})
	}
}

func TestOriginsHaveOneSpelling(t *testing.T) {
	tests := []struct{ url, origin string }{
		{"https://mail.example.com", "https://mail.example.com"},
		{"https://mail.example.com/", "https://mail.example.com"},
		{"https://mail.example.com/webmail?x=1#y", "https://mail.example.com"},
		{"HTTPS://Mail.EXAMPLE.com", "https://mail.example.com"},
		{"https://mail.example.com:443/webmail", "https://mail.example.com"},
		{"https://mail.example.com:8443", "https://mail.example.com:8443"},
		{"https://mail.example.com:80", "https://mail.example.com:80"},
		{"http://mail.example.com:80", "http://mail.example.com"},
		{"http://mail.example.com:443", "http://mail.example.com:443"},
		{"https://192.0.2.1:8443/x", "https://192.0.2.1:8443"},
		{"https://[2001:DB8::1]/webmail", "https://[2001:db8::1]"},
		{"https://[2001:db8::1]:443", "https://[2001:db8::1]"},
		{"https://[::1]:8443", "https://[::1]:8443"},
		{"https://mail.example.com/user:pass@elsewhere", "https://mail.example.com"},
		{"https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			origin, err := rotator.ParseOrigin(test.url)

			if err != nil || string(origin) != test.origin {
				t.Errorf("got %q, %v, want %q", origin, err, test.origin)
			}
		})
	}
}

func TestURLsWithoutAnOriginOfOurs(t *testing.T) {
	for _, raw := range []string{
		"", "mail.example.com", "//mail.example.com", "/webmail", "https:", "https://", "https:///webmail", "https:mail.example.com",
		"ftp://mail.example.com", "javascript:alert(1)", "file:///etc/passwd", "https+unix://mail.example.com",
		"https://mail.example.com:", "https://mail.example.com:x", "https://:443", "https://mail.example.com:-1",
		"https://user@mail.example.com", "https://user:pass@mail.example.com", "https://@mail.example.com", "https://mail.example.com@evil.example",
		"https://mail example.com", "https://mail.example.com\n", "https://mail.exam\tple.com", "https://mail%2eexample.com%00",
		"https://mail.example.com%2f@evil.example", "https://mail.example.com%2fevil", `https://mail.example.com\@evil.example`,
		"https://bücher.example", "https://mail\u2024example.com", "https://[fe80::1%25eth0]", "https://[::1", "https://::1]", "https://<mail>",
	} {
		t.Run(raw, func(t *testing.T) {
			if origin, err := rotator.ParseOrigin(raw); err == nil || origin != "" {
				t.Errorf("got %q, %v", origin, err)
			}
		})
	}
}

func TestComplaintsAboutAURLKeepItsCredentials(t *testing.T) {
	for _, raw := range []string{
		"https://admin:hunter2@mail.example.com", "ftp://admin:hunter2@mail.example.com", "admin:hunter2@mail.example.com",
		"https://admin:hunter2@mail.example.com:x", "https://admin:hunter2@", "https://admin:hunter2@mail%zz", "https://admin:hunter2 @mail",
	} {
		t.Run(raw, func(t *testing.T) {
			_, err := rotator.ParseOrigin(raw)

			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPlainOriginsAreThoseWithoutTLS(t *testing.T) {
	if !rotator.Origin("http://localhost:8080").Plain() || rotator.Origin("https://http.example").Plain() {
		t.Error("taken for one another")
	}
}

func FuzzParseTenantID(f *testing.F) {
	for _, seed := range []string{tenantA, "../x", "", "550E8400-E29B-41D4-A716-446655440000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tenant, err := rotator.ParseTenantID(s)

		if err == nil && (string(tenant) != s || len(s) != 36 || url.PathEscape(s) != s || strings.Contains(s, ".")) {
			t.Errorf("%q is taken for a tenant id", s)
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	for _, seed := range []string{
		"https://mail.example.com:443/x", "http://[::1]:80", "https://u:p@h", "HTTPS://A%2fb", "https://h:0443", "https:\\\\h", "//h", "https://h?@x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		origin, err := rotator.ParseOrigin(s)
		if err != nil {
			return
		}

		again, err := rotator.ParseOrigin(string(origin))
		if err != nil || again != origin {
			t.Errorf("%q gives %q, which gives %q, %v", s, origin, again, err)
		}
		u, err := url.Parse(string(origin))
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Scheme+"://"+u.Host != string(origin) {
			t.Errorf("%q gives %q, which is more than an origin", s, origin)
		}
	})
}

func TestOriginHostIsOneForAllSpellings(t *testing.T) {
	for origin, want := range map[rotator.Origin]string{
		"https://mail.example.com":      "mail.example.com",
		"http://mail.example.com":       "mail.example.com",
		"https://mail.example.com.":     "mail.example.com",
		"http://mail.example.com:443":   "mail.example.com",
		"https://mail.example.com:8443": "mail.example.com:8443",
		"http://mail.example.com:8443":  "mail.example.com:8443",
		"https://mail.example.com:0443": "mail.example.com",
		"https://mail.example.org":      "mail.example.org",
		"http://127.0.0.1:8080":         "localhost:8080",
		"http://localhost.:8080":        "localhost:8080",
		"http://[::1]:8080":             "localhost:8080",
		"http://[0:0:0:0:0:0:0:1]:8080": "localhost:8080",
		"http://[::ffff:127.0.0.1]":     "localhost",
		"http://127.0.0.2":              "127.0.0.2",
		"https://[2001:DB8::0:1]:444":   "[2001:db8::1]:444",
	} {
		if got := origin.Host(); got != want {
			t.Errorf("%s: got %q, want %q", origin, got, want)
		}
	}
}

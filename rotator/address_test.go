package rotator_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"mailu-rotator/rotator"
)

// longest has 254 bytes.
var longest = strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 53) + ".example"

func TestAddressIsWhatMailuStores(t *testing.T) {
	for raw, want := range map[string]rotator.Address{
		"admin@example.com":           "admin@example.com",
		"ADMIN@Example.COM":           "admin@example.com",
		"o'brien+tag@example.com":     "o'brien+tag@example.com",
		"admin@bücher.example":        "admin@xn--bcher-kva.example",
		"admin@BÜCHER.example":        "admin@xn--bcher-kva.example",
		"admin@XN--BCHER-KVA.example": "admin@xn--bcher-kva.example",
		"admin@bücher。example":        "admin@xn--bcher-kva.example", // the dots of IDNA
		"admin@bücher．example":        "admin@xn--bcher-kva.example",
		"admin@\u212aelvin.example":   "admin@kelvin.example", // the Kelvin sign is lowered to k
		"admin@straße.example":        "admin@xn--strae-oqa.example",
		"admin@strasse.example":       "admin@strasse.example", // is another domain in IDNA 2008
		"admin@İst.example":           "admin@xn--ist-8dc.example",
		"admin@ıst.example":           "admin@xn--st-gpa.example",
		"admin@σας.example":           "admin@xn--mxa9ab.example",
		"admin@ΣΑΣ.example":           "admin@xn--mxa9ab.example", // whichever small sigma that is
		"admin@xn--mxa8ab.example":    "admin@xn--mxa9ab.example", // σας
		"admin@пример.рф":             "admin@xn--e1afmkfd.xn--p1ai",
		"admin@l·l.example":           "admin@xn--ll-0ea.example",
		"admin@שלום.example":          "admin@xn--9dbne9b.example",
		longest:                       rotator.Address(longest),
		strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + ".example": rotator.Address(strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + ".example"),
	} {
		if got, err := rotator.ParseAddress(raw); err != nil || got != want {
			t.Errorf("%+q: got %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestAddressThatMailuCannotHaveIsRefused(t *testing.T) {
	for raw, shown := range map[string]string{
		"admin@example.com\u200b":                       `"admin@example.com\u200b"`,
		"admin@exam\u200bple.com":                       `"admin@exam\u200bple.com"`,
		"\u00a0admin@example.com":                       `"\u00a0admin@example.com"`,
		"ad\u00admin@example.com":                       `"ad\u00admin@example.com"`,
		"admin@exam\u00adple.com":                       `"admin@exam\u00adple.com"`,
		"\u200eadmin@example.com":                       `"\u200eadmin@example.com"`,
		"\ufeffadmin@example.com":                       `"\ufeffadmin@example.com"`,
		"admin@example.com\u2028":                       `"admin@example.com\u2028"`,
		"admin@example.com\u202c":                       `"admin@example.com\u202c"`,
		"admin\u2060@example.com":                       `"admin\u2060@example.com"`,
		"admin@example.com\x00":                         `"admin@example.com\x00"`,
		"admin@example.com\x7f":                         `"admin@example.com\x7f"`,
		"admin@example.com\u0085":                       `"admin@example.com\u0085"`,
		"admin@example.com\n":                           `"admin@example.com\n"`,
		"admin@example.com ":                            "U+0020",
		"adm in@example.com":                            "U+0020",
		"admin@نامه\u200cای.example":                    `\u200c`,
		"admin\xff@example.com":                         "not UTF-8",
		"ａdmin@example.com":                             `'\uff41' (U+FF41)`,
		"аdmin@example.com":                             `'\u0430' (U+0430)`, // Cyrillic
		"\u212aelvin@example.com":                       `'\u212a' (U+212A)`, // Mailu would take it for k
		"\u0130@example.com":                            `'\u0130' (U+0130)`,
		"\u0131@example.com":                            `'\u0131' (U+0131)`,
		"jürgen@example.com":                            `'\u00fc' (U+00FC)`,
		"a\u0301@example.com":                           `'\u0301' (U+0301)`,
		`"a b"@example.com`:                             "U+0020",
		`"a"@example.com`:                               `'"' (U+0022)`,
		"a,b@example.com":                               `','`,
		"a/b@example.com":                               "path",
		"a%2fb@example.com":                             "path",
		"a?b@example.com":                               "path",
		"a#b@example.com":                               "path",
		"a\\b@example.com":                              `'\\'`,
		".a@example.com":                                "dot",
		"a.@example.com":                                "dot",
		"a..b@example.com":                              "dot",
		strings.Repeat("a", 65) + "@b.example":          "64",
		"":                                              "user@domain",
		"admin":                                         "user@domain",
		"@example.com":                                  "user@domain",
		"admin@":                                        "user@domain",
		"a@b@example.com":                               "more than one @",
		"admin＠example.com":                             "user@domain",
		"admin@localhost":                               "no dot",
		"admin@example.com.":                            "ends in a dot",
		"admin@example.com。":                            "ends in a dot",
		"admin@example..com":                            "IDNA",
		"admin@.example.com":                            "IDNA",
		"admin@-a.example":                              "IDNA",
		"admin@ab--c.example":                           "IDNA",
		"admin@a_b.example":                             "IDNA",
		"admin@[127.0.0.1]":                             "IDNA",
		"admin@ｅxample.com":                             "IDNA",
		"admin@bu\u0308cher.example":                    `bu\u0308cher`,
		"admin@xn--a.example":                           "IDNA",
		"admin@xn--abc-.example":                        "IDNA",
		"admin@☃.example":                               "U+2603",
		"admin@xn--n3h.example":                         "U+2603",
		"admin@example.123":                             ".123",
		"admin@example.c":                               ".c",
		"admin@example.c0":                              ".c0",
		"admin@" + strings.Repeat("a", 64) + ".example": "IDNA",
		"admin@" + strings.Repeat(strings.Repeat("a", 60)+".", 4) + "example": "254",
		strings.Replace(longest, ".example", "d.example", 1):                  "254",
		strings.Repeat("a", 64) + "@" + strings.Repeat("ü.", 30) + "example":  "254", // longer in punycode
		"a@" + strings.Repeat("b.", 124) + "example":                          "IDNA",
		"admin@" + strings.Repeat(strings.Repeat("例", 45)+".", 2) + "example": "254", // shorter in punycode
	} {
		address, err := rotator.ParseAddress(raw)
		if err == nil || address != "" || !strings.Contains(err.Error(), shown) {
			t.Errorf("%+q: got %q, %v; want %s", raw, address, err, shown)
		}
	}
}

func TestAddressesAreComparedAsMailuDoes(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"Admin@Example.COM", "admin@example.com"}:                 true,
		{"admin@exämple.com", "admin@xn--exmple-cua.com"}:          true,
		{"admin@example.com", "admin@example.org"}:                 false,
		{"admin@example.com", "admin"}:                             false,
		{"admin", "admin"}:                                         true,
		{"", "admin@example.com"}:                                  false,
		{"admin@example.com\u200b", "admin@example.com"}:           false,
		{"admin@example.com\u200b", "admin@example.com\u200b"}:     true,
		{"admin@example.com", "admin@example.com@example.com"}:     false,
		{"admin@" + strings.Repeat("a", 9000), "admin@example.co"}: false,
	} {
		if rotator.SameAddress(pair[0], pair[1]) != want || rotator.SameAddress(pair[1], pair[0]) != want {
			t.Errorf("%.40q and %q: want %v", pair[0], pair[1], want)
		}
	}
}

// An Address normalizes to itself, is ASCII, and contains nothing that could be read as
// a path.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"Admin@bücher.example", "a@xn--", "ı@x.yy", "a@x.xn--p1ai", "a@ΣΣ.example", "a@İ.example", "a@。yy", "a@b.cc\u200b", "\"a\"@b.cc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		address, err := rotator.ParseAddress(raw)
		if err != nil {
			if !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\r\x1b\u200b") {
				t.Errorf("%q: unfit for a report: %q", raw, err)
			}
			return
		}
		again, err := rotator.ParseAddress(string(address))
		if err != nil || again != address {
			t.Errorf("%q becomes %q, and that %q, %v", raw, address, again, err)
		}
		if strings.ContainsFunc(string(address), func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(raw, "/%?#\\") {
			t.Errorf("%q is taken as %q", raw, address)
		}
	})
}

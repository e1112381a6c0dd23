package text_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"mailu-rotator/internal/text"
)

// hostile is what an attacker could put into a field of a record, or a server into its
// answer: a forged line, escapes of both kinds, a title, direction marks, invisible
// characters, a character outside the BMP, broken UTF-8.
const hostile = "x\n{\"level\":\"info\"}\r\x1b[2J\x9b\u009b31m\x1b]0;owned\x07\x7f\u202eevil\u200b\u3164\U000e0041\u2028\xff"

func TestFormsOfTheSameText(t *testing.T) {
	tests := []struct{ in, escaped, quoted, visible, stripped string }{
		{"", "", "", "", ""},
		{"Grüße, 日本, שלום", "Grüße, 日本, שלום", "Grüße, 日本, שלום", "Grüße, 日本, שלום", "Grüße, 日本, שלום"},
		{`say "\x"`, `say "\x"`, `say "\x"`, `say "\x"`, `say "\x"`},
		{"two\nlines\tof it", "two\nlines\tof it", `"two\nlines\tof it"`, `two\nlines\tof it`, "two lines of it"},
		{"\"a\"\\\n", "\"a\"\\\n", `"\"a\"\\\n"`, `"a"\\n`, `"a"\`},
		{"\x1b[2Jgone", `\u001b[2Jgone`, `"\x1b[2Jgone"`, `\x1b[2Jgone`, "gone"},
		{"\u009b31m", `\u009b31m`, `"\u009b31m"`, `\u009b31m`, ""},
		{"a\x1b]0;title\x07b", `a\u001b]0;title\u0007b`, `"a\x1b]0;title\ab"`, `a\x1b]0;title\ab`, "ab"},
		{"c\x1bM\u202ed", `c\u001bM\u202ed`, `"c\x1bM\u202ed"`, `c\x1bM\u202ed`, "cd"},
		{"zero\u200bwidth", `zero\u200bwidth`, `"zero\u200bwidth"`, `zero\u200bwidth`, "zerowidth"},
		{"no\u00a0break", `no\u00a0break`, `"no\u00a0break"`, `no\u00a0break`, "no break"},
		{"\u3164", `\u3164`, `"\u3164"`, `\u3164`, ""}, // the Hangul filler is a letter
		{"a\ufe0fb", `a\ufe0fb`, `"a\ufe0fb"`, `a\ufe0fb`, "ab"},
		{"\U000e0041", `\udb40\udc41`, `"\U000e0041"`, `\U000e0041`, ""},
		{"a\xffb", "a\ufffdb", `"a\xffb"`, `a\xffb`, "ab"},
		{"a\xffb\x7f", "a\ufffdb" + `\u007f`, `"a\xffb\x7f"`, `a\xffb\x7f`, "ab"},
	}
	for _, test := range tests {
		for _, form := range []struct {
			name, want string
			of         func(string) string
		}{{"Escape", test.escaped, text.Escape}, {"Quote", test.quoted, text.Quote}, {"Visible", test.visible, text.Visible}, {"Strip", test.stripped, text.Strip}} {
			if got := form.of(test.in); got != form.want {
				t.Errorf("%s(%q) is %q, want %q", form.name, test.in, got, form.want)
			}
		}
	}
}

func TestATextIsCutBetweenCharacters(t *testing.T) {
	for in, want := range map[string]string{"kurz": "kurz", "äöüß": "äöüß", "äöüßé": "äöüß…", "abcdefgh": "abcd…", "": ""} {
		if got := text.Shorten(in, 4); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
		if got := text.Cut(in, 4); got != strings.TrimSuffix(want, "…") {
			t.Errorf("%q is cut to %q", in, got)
		}
	}
}

// No form controls a terminal or hides a character, and the escapes inside a JSON
// string still mean the same text.
func FuzzForms(f *testing.F) {
	f.Add(hostile)
	f.Add("two\nlines\tof ümlaut 日本")
	f.Add("\U000e0041\u2028\x7f")
	f.Fuzz(func(t *testing.T, in string) {
		for name, shown := range map[string]string{"Escape": text.Escape(in), "Quote": text.Quote(in), "Visible": text.Visible(in), "Strip": text.Strip(in)} {
			unsafe := func(r rune) bool {
				return !unicode.IsPrint(r) && (name != "Escape" || r != '\n' && r != '\t')
			}
			if !utf8.ValidString(shown) || strings.ContainsFunc(shown, unsafe) {
				t.Errorf("%s of %q is %q", name, in, shown)
			}
		}
		quoted, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(text.Escape(string(quoted))), &back); err != nil {
			t.Fatal(err)
		}
		if back != strings.ToValidUTF8(in, "\ufffd") && utf8.ValidString(in) {
			t.Errorf("%q comes back as %q", in, back)
		}
	})
}

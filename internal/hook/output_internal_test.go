package hook

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a program prints, in whatever pieces, the log gets a bounded text that
// controls no terminal.
func FuzzOutput(f *testing.F) {
	f.Add("done\n", "")
	f.Add("\x1b[2J\x9b31m\u202e", "\xff\xfe")
	f.Add("half of \xc3", "\xbc")
	f.Add(strings.Repeat("x", maxOutput), "y")
	f.Fuzz(func(t *testing.T, first, second string) {
		var b limitedBuffer
		for _, piece := range []string{first, second} {
			if n, err := b.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("wrote %d of %d bytes, %v", n, len(piece), err)
			}
		}

		text := b.String()

		if utf8.RuneCountInString(text) > 6*maxOutput+20 || !utf8.ValidString(text) {
			t.Errorf("%d bytes, valid %t", len(text), utf8.ValidString(text))
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && r != utf8.RuneError && !unicode.IsPrint(r) }) {
			t.Errorf("%q", text)
		}
	})
}

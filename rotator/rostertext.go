package rotator

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// saveAsUTF8 tells users how a spreadsheet writes a readable file.
const saveAsUTF8 = `in Excel, save it as "CSV UTF-8"; in LibreOffice, as "Text CSV" in UTF-8`

// plainText returns the text of a CSV file without its byte order mark, with line feeds
// as line ends. It refuses encodings other than UTF-8 instead of guessing: a wrong
// guess is another user.
func plainText(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return nil, errors.New(`encoded as UTF-16, which Excel calls "Unicode Text": ` + saveAsUTF8)
	case bytes.HasPrefix(text, []byte("PK\x03\x04")), bytes.HasPrefix(text, []byte("\xd0\xcf\x11\xe0")):
		return nil, errors.New("a spreadsheet's own file (.xlsx, .ods, .xls), not CSV: " + saveAsUTF8)
	}
	if at := bytes.IndexByte(text, 0); at >= 0 {
		return nil, fmt.Errorf("line %d: NUL bytes, as UTF-16 has them: %s", lineOf(text, at), saveAsUTF8)
	}
	if at := notUTF8(text); at >= 0 {
		return nil, fmt.Errorf("line %d: not UTF-8 but perhaps Latin-1 or Windows-1252: %s", lineOf(text, at), saveAsUTF8)
	}
	if !bytes.Contains(text, []byte("\n")) { // Excel's "CSV (Macintosh)"
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	return text, nil
}

func lineOf(text []byte, at int) int { return 1 + bytes.Count(text[:at], []byte("\n")) }

// notUTF8 is where the text stops being UTF-8, or -1.
func notUTF8(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// separatorOf returns the separator of the values: the one in Excel's line "sep=",
// which is emptied, so that lines keep their numbers; otherwise the one that finds most
// column names in the first line. If the decimal separator is a comma, Excel writes
// semicolons, whatever its user selects.
func separatorOf(text []byte) ([]byte, rune) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if separator, found := separatorLine(string(first)); found {
		return append([]byte("\n"), rest...), separator
	}
	best, most := ',', 0
	for _, separator := range []rune{',', ';', '\t'} {
		header, _ := firstLine(readerOf(text, separator)) // an unreadable line has no names
		names := 0
		for _, name := range header {
			if slices.Contains(columnNames(), columnName(name)) {
				names++
			}
		}
		if names > most {
			best, most = separator, names
		}
	}
	return text, best
}

// separatorLine reads sep=; which may be quoted and filled up with separators.
func separatorLine(line string) (rune, bool) {
	line = strings.Trim(strings.TrimRight(line, "\r"), `"`)
	const name = "sep="
	if len(line) <= len(name) || !strings.EqualFold(line[:len(name)], name) {
		return 0, false
	}
	separator := line[len(name) : len(name)+1]
	fill := strings.Trim(line[len(name)+1:], separator+`"`)
	return rune(separator[0]), fill == "" && strings.Contains(",;\t|", separator)
}

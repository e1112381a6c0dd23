package sweep

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"mailu-rotator/rotator"
)

// Limits of a CSV file.
const (
	maxCSVSize  = 16 << 20 // bytes
	maxCSVLines = 100_000  // tenants
)

// The columns of a CSV file.
const (
	columnUser    = "user"
	columnWebmail = "webmail_url"
	columnTenant  = "tenant"
	columnPolicy  = "policy"
)

// ReadCSV reads additions from CSV (RFC 4180), as spreadsheets write it: separated
// by commas, semicolons or tabs, as in the first line. That line names the columns, in
// any order and case: user and webmail_url, and optionally tenant and policy, which may
// be empty in a line. It ignores white space around a value, a byte order mark, empty
// lines, and empty columns without a name.
//
// The error has all errors of the form, a line each; values are checked when they are
// added.
func ReadCSV(in io.Reader) ([]Addition, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxCSVSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxCSVSize:
		return nil, fmt.Errorf("larger than %d MiB: split the file", maxCSVSize>>20)
	}
	if text, err = plainText(text); err != nil {
		return nil, err
	}
	text, separator := separatorOf(text)
	lines := readerOf(text, separator)
	header, err := firstLine(lines)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty: the first line names the columns, " + columnUser + "," + columnWebmail)
	}
	if err != nil {
		return nil, err
	}
	line, _ := lines.FieldPos(0)
	columns, err := columnsOf(header)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return readLines(lines, columns)
}

func readerOf(text []byte, separator rune) *csv.Reader {
	lines := csv.NewReader(bytes.NewReader(text))
	lines.Comma = separator
	lines.FieldsPerRecord = -1 // checked here, to name every line
	return lines
}

// firstLine skips lines without any value.
func firstLine(lines *csv.Reader) ([]string, error) {
	for {
		values, err := lines.Read()
		if err != nil || strings.TrimSpace(strings.Join(values, "")) != "" {
			return values, err
		}
	}
}

func readLines(lines *csv.Reader, columns []string) (additions []Addition, err error) {
	var wrong []error
	for {
		values, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			wrong = append(wrong, err) // it names the line, and the rest may be misread
			break
		}
		a, found, err := readAddition(columns, values)
		a.Line, _ = lines.FieldPos(0)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("line %d: %w", a.Line, err))
		case found:
			additions = append(additions, a)
		}
		if len(additions)+len(wrong) > maxCSVLines {
			return nil, fmt.Errorf("more than %d tenants: split the file", maxCSVLines)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	if len(additions) == 0 {
		return nil, errors.New("no tenant below the names of the columns")
	}
	return additions, nil
}

// readAddition finds none in a line without values, as below and beside the used part of
// a spreadsheet. Spreadsheets also omit empty cells at the end of a line.
func readAddition(columns, values []string) (a Addition, found bool, err error) {
	wrongCount := len(values) <= max(slices.Index(columns, columnUser), slices.Index(columns, columnWebmail))
	for i, value := range values {
		value = strings.TrimSpace(value)
		if value == "" {
			continue
		}
		found = true
		if i >= len(columns) {
			wrongCount = true
			break
		}
		switch columns[i] {
		case columnUser:
			a.Username = value
		case columnWebmail:
			a.WebmailURL = value
		case columnTenant:
			a.Tenant = rotator.TenantID(value)
		case columnPolicy:
			a.Policy = value
		default:
			err = cmp.Or(err, fmt.Errorf("%.40q is in column %d, which has no name in the first line", value, i+1))
		}
	}
	if found && wrongCount {
		err = fmt.Errorf("%d values for %d columns", len(values), len(columns))
	}
	return a, found, err
}

// columnName is the column that a name in the first line stands for.
func columnName(text string) string { return strings.ToLower(strings.TrimSpace(text)) }

func columnsOf(header []string) ([]string, error) {
	var wrong []error
	columns := make([]string, len(header))
	for i, name := range header {
		columns[i] = columnName(name)
		switch {
		case columns[i] == "": // such a column must be empty
		case !slices.Contains(columnNames(), columns[i]):
			wrong = append(wrong, fmt.Errorf("unknown column %.40q: there are %s", strings.TrimSpace(name), strings.Join(columnNames(), ", ")))
		case slices.Contains(columns[:i], columns[i]):
			wrong = append(wrong, fmt.Errorf("column %q comes twice", columns[i]))
		}
	}
	for _, name := range []string{columnUser, columnWebmail} {
		if !slices.Contains(columns, name) {
			wrong = append(wrong, fmt.Errorf("no column %q", name))
		}
	}
	return columns, errors.Join(wrong...)
}

func columnNames() []string { return []string{columnUser, columnWebmail, columnTenant, columnPolicy} }

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
	for i, line := range bytes.Split(text, []byte("\n")) {
		switch {
		case bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("line %d: NUL bytes, as UTF-16 has them: %s", i+1, saveAsUTF8)
		case !utf8.Valid(line):
			return nil, fmt.Errorf("line %d: not UTF-8 but perhaps Latin-1 or Windows-1252: %s", i+1, saveAsUTF8)
		}
	}
	if !bytes.Contains(text, []byte("\n")) { // Excel's "CSV (Macintosh)"
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	return text, nil
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
	names := func(separator rune) int {
		header, _ := firstLine(readerOf(text, separator)) // an unreadable line has no names
		return count(header, func(name string) bool { return slices.Contains(columnNames(), columnName(name)) })
	}
	return text, slices.MaxFunc([]rune{',', ';', '\t'}, func(a, b rune) int { return names(a) - names(b) })
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

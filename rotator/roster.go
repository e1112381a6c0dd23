package rotator

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What a roster may have.
const (
	maxRosterSize  = 16 << 20 // bytes
	maxRosterLines = 100_000  // tenants
)

// The columns of a roster.
const (
	columnUser    = "user"
	columnWebmail = "webmail_url"
	columnTenant  = "tenant"
	columnPolicy  = "policy"
)

// ReadRoster reads additions from CSV (RFC 4180). The first line names the
// columns, in any order: user and webmail_url, and if wanted tenant and policy,
// which may be empty in a line. White space around a value does not count, and
// neither does a byte order mark.
//
// The error has everything that is wrong with the form, a line each; values are
// checked when they are added.
func ReadRoster(in io.Reader) ([]Addition, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxRosterSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxRosterSize:
		return nil, fmt.Errorf("larger than %d MiB: split the file", maxRosterSize>>20)
	}
	roster := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	roster.FieldsPerRecord = -1 // counted here, to name every line
	header, err := roster.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("empty: the first line names the columns, " + columnUser + "," + columnWebmail)
	}
	if err != nil {
		return nil, err
	}
	columns, err := columnsOf(header)
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	return readLines(roster, columns)
}

func readLines(roster *csv.Reader, columns []string) (additions []Addition, err error) {
	var wrong []error
	for {
		values, err := roster.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			wrong = append(wrong, err) // it names the line, and what follows may be read amiss
			break
		}
		line, _ := roster.FieldPos(0)
		if len(values) != len(columns) {
			wrong = append(wrong, fmt.Errorf("line %d: %d values for %d columns", line, len(values), len(columns)))
			continue
		}
		additions = append(additions, addition(line, columns, values))
		if len(additions) > maxRosterLines {
			return nil, fmt.Errorf("more than %d tenants: split the file", maxRosterLines)
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

func columnsOf(header []string) ([]string, error) {
	var wrong []error
	columns := make([]string, len(header))
	for i, name := range header {
		columns[i] = strings.TrimSpace(name)
		switch columns[i] {
		case columnUser, columnWebmail, columnTenant, columnPolicy:
			if slices.Contains(columns[:i], columns[i]) {
				wrong = append(wrong, fmt.Errorf("column %q comes twice", columns[i]))
			}
		default:
			wrong = append(wrong, fmt.Errorf("unknown column %.40q: there are %s, %s, %s and %s", columns[i], columnUser, columnWebmail, columnTenant, columnPolicy))
		}
	}
	for _, name := range []string{columnUser, columnWebmail} {
		if !slices.Contains(columns, name) {
			wrong = append(wrong, fmt.Errorf("no column %q", name))
		}
	}
	return columns, errors.Join(wrong...)
}

func addition(line int, columns, values []string) Addition {
	a := Addition{Line: line}
	for i, name := range columns {
		value := strings.TrimSpace(values[i])
		switch name {
		case columnUser:
			a.Username = value
		case columnWebmail:
			a.WebmailURL = value
		case columnTenant:
			a.Tenant = TenantID(value)
		case columnPolicy:
			a.Policy = value
		}
	}
	return a
}

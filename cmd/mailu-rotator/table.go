package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	prettytext "github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// gap separates the columns.
const gap = "  "

// newTable returns a table without lines, which operators can pass to awk and grep. Its
// columns are measured in terminal cells: neither escape codes nor wide characters
// shift them.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain", Box: table.BoxStyle{PaddingRight: gap}, Options: table.OptionsNoBordersAndSeparators,
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	return t
}

// grid is a table that fits a terminal: its last column wraps. Elsewhere a row is one
// line.
type grid struct {
	header  table.Row
	rows    []table.Row
	columns []table.ColumnConfig
	// optional columns are left out, in this order, until the last column has its room.
	optional []string
}

// In cells of a terminal. A last column with room does not break the longest word that
// operators copy from it, a tenant's id; one with less than minRoom cannot be read, and
// the terminal breaks the lines instead.
const (
	room    = 36
	minRoom = 20
)

func newGrid(header ...any) *grid { return &grid{header: header} }

func (g *grid) add(cells ...any) { g.rows = append(g.rows, cells) }

// render returns one line for each row if the width is 0.
func (g *grid) render(width int) string {
	if width > 0 {
		g.fit(width)
	}
	t := newTable(g.header...)
	t.AppendRows(g.rows)
	t.SetColumnConfigs(g.columns)
	return t.Render()
}

func (g *grid) fit(width int) {
	last := len(g.header) - 1
	left := width
	for column := range last {
		left -= g.width(column) + len(gap)
	}
	wanted := min(g.width(last), room)
	for _, name := range g.optional {
		if left >= wanted {
			break
		}
		column := slices.Index(g.header, any(name))
		left += g.width(column) + len(gap)
		g.columns = append(g.columns, table.ColumnConfig{Number: column + 1, Hidden: true})
		if column == 0 {
			left -= g.nameRows()
		}
	}
	g.columns = append(g.columns, table.ColumnConfig{Number: last + 1, WidthMax: max(left, minRoom), WidthMaxEnforcer: prettytext.WrapSoft})
}

// nameRows names rows without a user by the tenant's id, which the first column had. It
// returns by how many cells that widens the second column.
func (g *grid) nameRows() int {
	before := g.width(1)
	for _, row := range g.rows {
		if row[1] == "-" {
			row[1] = row[0]
		}
	}
	return g.width(1) - before
}

func (g *grid) width(column int) (widest int) {
	widest = cells(g.header[column])
	for _, row := range g.rows {
		widest = max(widest, cells(row[column]))
	}
	return widest
}

func cells(value any) int { return prettytext.StringWidthWithoutEscSequences(fmt.Sprint(value)) }

// terminalWidth is in cells; 0 if out is no terminal.
func terminalWidth(out io.Writer) int {
	width, _, err := term.GetSize(descriptor(out))
	if err != nil {
		return 0
	}
	return width
}

// printTable prints only the summary if the table has no rows.
func printTable(out io.Writer, g *grid, summary string) error {
	if len(g.rows) > 0 {
		summary = g.render(terminalWidth(out)) + "\n\n" + summary
	}
	if _, err := fmt.Fprintln(out, summary); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// arrange returns the rows of a table, failures last, right above the summary. Quiet
// rows are left out and counted by kind, unless all are wanted.
func arrange[R any, K comparable](rows []R, all bool, inspect func(R) (kind K, quiet, failed bool)) (shown []R, omitted map[K]int) {
	var failures []R
	omitted = map[K]int{}
	for _, row := range rows {
		kind, quiet, failed := inspect(row)
		switch {
		case failed:
			failures = append(failures, row)
		case quiet && !all:
			omitted[kind]++
		default:
			shown = append(shown, row)
		}
	}
	return append(shown, failures...), omitted
}

// counts is a part of a summary: the numbers above zero, in order.
func counts[K ~string](numbers map[K]int, order []K) (all []string) {
	for _, kind := range order {
		if n := numbers[kind]; n > 0 {
			all = append(all, thousands(n)+" "+string(kind))
		}
	}
	return all
}

// notShown is the line of a summary that counts the rows that arrange omitted.
func notShown(counts []string) string {
	if len(counts) == 0 {
		return ""
	}
	return "\n" + strings.Join(counts, ", ") + " not shown; --all"
}

func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

package main

import "github.com/jedib0t/go-pretty/v6/table"

// newTable is a table without lines, as operators feed to awk and grep. Its
// columns are measured in cells of a terminal: neither escape codes nor wide
// characters move them.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain", Box: table.BoxStyle{PaddingRight: "  "}, Options: table.OptionsNoBordersAndSeparators,
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	return t
}

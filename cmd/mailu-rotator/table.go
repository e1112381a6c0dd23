package main

import "github.com/jedib0t/go-pretty/v6/table"

// newTable returns a table without lines, which operators can pass to awk and grep. Its
// columns are measured in terminal cells: neither escape codes nor wide characters
// shift them.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain", Box: table.BoxStyle{PaddingRight: "  "}, Options: table.OptionsNoBordersAndSeparators,
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	return t
}

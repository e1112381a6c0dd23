package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// position is a place in the file; the zero position is none.
type position struct {
	line, column int
}

type problem struct {
	at   position
	text string
}

// problems collects everything that is wrong, so that one look at the file
// mends all of it.
type problems struct {
	list []problem
}

func (p *problems) add(at position, format string, args ...any) {
	p.list = append(p.list, problem{at: at, text: fmt.Sprintf(format, args...)})
}

// maxProblems keeps the error for a file that is no configuration at all short.
const maxProblems = 50

// err returns nil or the problems in the order of the file; those without a
// line come last.
func (p *problems) err() error {
	slices.SortStableFunc(p.list, func(a, b problem) int {
		if (a.at == position{}) != (b.at == position{}) {
			return -cmp.Compare(a.at.line, b.at.line)
		}
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var errs []error
	for i, one := range p.list {
		if i == maxProblems {
			errs = append(errs, fmt.Errorf("and %d more", len(p.list)-i))
			break
		}
		errs = append(errs, one.err())
	}
	return errors.Join(errs...)
}

func (p problem) err() error {
	if p.at == (position{}) {
		return errors.New(p.text)
	}
	return fmt.Errorf("line %d, column %d: %s", p.at.line, p.at.column, p.text)
}

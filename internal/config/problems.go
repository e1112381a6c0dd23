package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// position is a place in the file; the zero value means unknown.
type position struct {
	line, column int
}

type problem struct {
	at   position
	text string
}

// problems collects all errors, so that the operator can fix the file in one pass.
type problems struct {
	list []problem
}

func (p *problems) add(at position, format string, args ...any) {
	p.list = append(p.list, problem{at: at, text: fmt.Sprintf(format, args...)})
}

// maxProblems keeps the error short for a file that is not a configuration at all.
const maxProblems = 50

// err returns nil or the problems in file order; those without a line come last.
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

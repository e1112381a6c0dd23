package config

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mailu-rotator/rotator"
)

// decode writes the file's values over the defaults in config. The library's decoder
// stops at the first unknown key or wrong type; this one continues, and records where
// each key is for later checks.
func (l *loader) decode(root ast.Node, config *Config) {
	if root == nil {
		return
	}
	l.at[""] = positionOf(root.GetToken())
	l.decodeSection(root, reflect.ValueOf(config).Elem(), "")
}

func (l *loader) decodeSection(node ast.Node, section reflect.Value, path string) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		// A section whose keys are all commented out keeps its defaults.
		if _, empty := node.(*ast.NullNode); !empty {
			l.wrongType(node, path, "a section, that is, lines of \"key: value\" below it")
		}
		return
	}
	fields := map[string]int{}
	for name, i := range keys(section.Type()) {
		fields[name] = i
	}
	for _, entry := range mapping.Values {
		name, at := entry.Key.GetToken().Value, positionOf(entry.Key.GetToken())
		key := join(path, name)
		i, known := fields[name]
		if !known {
			l.add(at, "%s", unknownKey(path, name, section.Type()))
			continue
		}
		if first, twice := l.at[key]; twice {
			l.add(at, "%s is already set in line %d; remove one", key, first.Line)
			continue
		}
		l.at[key] = at
		l.decodeValue(entry.Value, section.Field(i), key)
		if !l.broken[key] {
			l.checkTags(section.Field(i), section.Type().Field(i).Tag, key)
		}
	}
}

func (l *loader) decodeValue(node ast.Node, target reflect.Value, path string) {
	switch t := target.Addr().Interface().(type) {
	case *[]Server:
		for key, entry := range l.entries(node, path, "a list, that is, entries that begin with \"- \"") {
			server := DefaultServer()
			l.decodeSection(entry, reflect.ValueOf(&server).Elem(), key)
			*t = append(*t, server)
		}
	case *Command:
		*t = l.texts(node, path, "a list: [/path/to/program, argument]")
	case *[]string:
		*t = l.texts(node, path, "a list, that is, entries that begin with \"- \"")
	case *time.Duration:
		decodeText(l, node, path, "a duration with its unit, such as 30s", parseDuration, t)
	case **time.Location:
		decodeText(l, node, path, "text", parseLocation, t)
	case *Schedule:
		decodeText(l, node, path, "text", ParseSchedule, t)
	case *rotator.Policy:
		decodeText(l, node, path, "\"<n>_days\" or \"manual\"", rotator.ParsePolicy, t)
	case *rotator.Spread:
		decodeText(l, node, path, "a share of the policy with its sign, such as 10%", rotator.ParseSpread, t)
	case *rotator.Origin:
		decodeText(l, node, path, "text", parseOrigin, t)
	case *int:
		if number, ok := node.(*ast.IntegerNode); ok {
			if n, err := strconv.ParseInt(fmt.Sprint(number.Value), 10, 32); err == nil {
				*t = int(n)
				return
			}
		}
		l.wrongType(node, path, "a whole number")
	case *bool:
		if b, ok := node.(*ast.BoolNode); ok {
			*t = b.Value
			return
		}
		l.wrongType(node, path, "true or false")
	default:
		if target.Kind() == reflect.Struct {
			l.decodeSection(node, target, path)
		} else if text, ok := l.text(node, path, "text"); ok {
			target.SetString(text)
		}
	}
}

// entries yields the entries of a list, with the key of each.
func (l *loader) entries(node ast.Node, path, want string) iter.Seq2[string, ast.Node] {
	return func(yield func(string, ast.Node) bool) {
		list, ok := node.(*ast.SequenceNode)
		if !ok {
			l.wrongType(node, path, want)
			return
		}
		for i, entry := range list.Values {
			key := fmt.Sprintf("%s[%d]", path, i)
			l.at[key] = positionOf(entry.GetToken())
			if !yield(key, entry) {
				return
			}
		}
	}
}

// texts reads a list of strings; a number in it must be quoted.
func (l *loader) texts(node ast.Node, path, want string) (all []string) {
	for key, entry := range l.entries(node, path, want) {
		if word, ok := l.text(entry, key, "text"); ok {
			all = append(all, word)
		}
	}
	return all
}

// decodeText parses a text into target; want names the type of target.
func decodeText[T any](l *loader, node ast.Node, path, want string, parse func(string) (T, error), target *T) {
	text, ok := l.text(node, path, want)
	if !ok {
		return
	}
	value, err := parse(text)
	if err != nil {
		l.report(path, "%v", err)
		l.broken[path] = true
		return
	}
	*target = value
}

func (l *loader) text(node ast.Node, path, want string) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	l.wrongType(node, path, want)
	return "", false
}

// wrongType never repeats the value: it may be a misplaced secret.
func (l *loader) wrongType(node ast.Node, path, want string) {
	found, remedy := describe(node), ""
	switch {
	case found == "nothing":
		remedy = "; give a value or remove the line"
	case want == "text" && found != "a section" && found != "a list":
		remedy = "; put it in quotes"
	}
	l.add(l.at[path], "%s: expected %s, found %s%s", cmp.Or(path, "the file"), want, found, remedy)
	l.broken[path] = true
}

func describe(node ast.Node) string {
	switch node.Type() {
	case ast.NullType:
		return "nothing"
	case ast.MappingType:
		return "a section"
	case ast.SequenceType:
		return "a list"
	case ast.BoolType:
		return "true or false"
	case ast.IntegerType:
		return "a number"
	case ast.FloatType, ast.InfinityType, ast.NanType:
		return "a fraction"
	}
	return "text"
}

package config

import (
	"cmp"
	"fmt"
	"math"
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// decode writes the file's values over the defaults in config. The library's decoder
// stops at the first unknown key or wrong type; this one continues, and records where
// each key is for later checks.
func (l *loader) decode(root ast.Node, config *Config) {
	if root == nil {
		return
	}
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
		name, at := entry.Key.GetToken().Value, nodePosition(entry.Key)
		key := join(path, name)
		i, known := fields[name]
		if !known {
			l.add(at, "%s", unknownKey(path, name, section.Type()))
			continue
		}
		if first, twice := l.at[key]; twice {
			l.add(at, "%s is already set in line %d; remove one", key, first.line)
			continue
		}
		l.at[key] = at
		l.decodeValue(entry.Value, section.Field(i), key)
	}
}

func (l *loader) decodeValue(node ast.Node, target reflect.Value, path string) {
	switch {
	case isSection(target.Type()):
		l.decodeSection(node, target, path)
	case target.Type() == reflect.TypeFor[Command]():
		l.decodeCommand(node, target.Addr().Interface().(*Command), path)
	case target.Kind() == reflect.Slice:
		l.decodeServers(node, target.Addr().Interface().(*[]Server), path)
	default:
		l.decodeScalar(node, target, path)
	}
}

// decodeServers reads the only list of sections: each entry starts from the defaults of
// its type.
func (l *loader) decodeServers(node ast.Node, servers *[]Server, path string) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		l.wrongType(node, path, "a list, that is, entries that begin with \"- \"")
		return
	}
	for i, entry := range list.Values {
		element := fmt.Sprintf("%s[%d]", path, i)
		l.at[element] = nodePosition(entry)
		server := DefaultServer()
		l.decodeSection(entry, reflect.ValueOf(&server).Elem(), element)
		*servers = append(*servers, server)
	}
}

// decodeCommand accepts only strings: numbers must be quoted.
func (l *loader) decodeCommand(node ast.Node, command *Command, path string) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		l.wrongType(node, path, "a list: [/path/to/program, argument]")
		return
	}
	for i, entry := range list.Values {
		element := fmt.Sprintf("%s[%d]", path, i)
		l.at[element] = nodePosition(entry)
		if word, ok := l.text(entry, element, "text"); ok {
			*command = append(*command, word)
		}
	}
}

func (l *loader) decodeScalar(node ast.Node, target reflect.Value, path string) {
	if parse := textParser(target.Addr().Interface()); parse != nil {
		if text, ok := l.text(node, path, expected(target.Addr().Interface())); ok {
			if err := parse(text); err != nil {
				l.report(path, "%v", err)
				l.broken[path] = true
			}
		}
		return
	}
	switch target.Kind() {
	case reflect.String:
		if text, ok := l.text(node, path, "text"); ok {
			target.SetString(text)
		}
	case reflect.Int:
		if n, ok := integer(node); ok {
			target.SetInt(n)
			return
		}
		l.wrongType(node, path, "a whole number")
	case reflect.Bool:
		if b, ok := node.(*ast.BoolNode); ok {
			target.SetBool(b.Value)
			return
		}
		l.wrongType(node, path, "true or false")
	default:
		panic(fmt.Sprintf("config: no way to read a %s", target.Type()))
	}
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

func integer(node ast.Node) (int64, bool) {
	n, ok := node.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch value := n.Value.(type) {
	case int64:
		return value, math.MinInt32 <= value && value <= math.MaxInt32
	case uint64:
		if value > math.MaxInt32 {
			return 0, false
		}
		return int64(value), true
	}
	return 0, false
}

// wrongType never repeats the value: it may be a misplaced secret.
func (l *loader) wrongType(node ast.Node, path, want string) {
	at := l.at[path]
	if at == (position{}) {
		at = nodePosition(node)
	}
	found, remedy := describe(node), ""
	switch {
	case found == "nothing":
		remedy = "; give a value or remove the line"
	case want == "text" && found != "a section" && found != "a list":
		remedy = "; put it in quotes"
	}
	l.add(at, "%s: expected %s, found %s%s", cmp.Or(path, "the file"), want, found, remedy)
	l.broken[path] = true
}

func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a fraction"
	}
	return "text"
}

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// comments maps "Type.Field" to the field's comment, joined into one line.
type comments map[string]string

func readComments(source string) (comments, error) {
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil {
		return nil, err
	}
	all := comments{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, all.collect)
	}
	return all, nil
}

func (c comments) collect(node ast.Node) bool {
	spec, isType := node.(*ast.TypeSpec)
	if !isType {
		return true
	}
	if section, isStruct := spec.Type.(*ast.StructType); isStruct {
		for _, field := range section.Fields.List {
			for _, name := range field.Names {
				c[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
			}
		}
	}
	return false
}

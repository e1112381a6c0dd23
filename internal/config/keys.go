package config

import (
	"iter"
	"reflect"
)

// keys yields the keys of a section and the index of the field that holds each.
func keys(section reflect.Type) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for i := range section.NumField() {
			name := section.Field(i).Tag.Get("yaml")
			if name == "" || name == "-" {
				continue
			}
			if !yield(name, i) {
				return
			}
		}
	}
}

// isSection distinguishes a struct with keys from a struct that is a value, such as a
// policy.
func isSection(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for range keys(t) {
		return true
	}
	return false
}

// allKeys yields the full path of every key below a section, including sections and
// lists, in the order of the struct: vault, vault.address, …, mailu.servers,
// mailu.servers[].origin.
func allKeys(section reflect.Type, under string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, i := range keys(section) {
			path := join(under, name)
			if !yield(path) {
				return
			}
			below := section.Field(i).Type
			if below.Kind() == reflect.Slice {
				below, path = below.Elem(), path+"[]"
			}
			if !isSection(below) {
				continue
			}
			for key := range allKeys(below, path) {
				if !yield(key) {
					return
				}
			}
		}
	}
}

func join(under, name string) string {
	if under == "" {
		return name
	}
	return under + "." + name
}

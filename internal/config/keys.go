package config

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"mailu-rotator/internal/text"
)

// keys yields the keys of a section and the index of the field that holds each.
func keys(section reflect.Type) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for i := range section.NumField() {
			name := section.Field(i).Tag.Get("yaml")
			if name != "" && name != "-" && !yield(name, i) {
				return
			}
		}
	}
}

// isSection distinguishes a struct with keys from a struct that is a value, such as a
// policy.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("yaml") != ""
}

// allKeys returns the full path of every key below a section, including sections and
// lists, in the order of the struct: vault, vault.address, …, mailu.servers,
// mailu.servers[].origin.
func allKeys(section reflect.Type, under string) (all []string) {
	for name, i := range keys(section) {
		path := join(under, name)
		all = append(all, path)
		below := section.Field(i).Type
		if below.Kind() == reflect.Slice {
			below, path = below.Elem(), path+"[]"
		}
		if isSection(below) {
			all = append(all, allKeys(below, path)...)
		}
	}
	return all
}

func join(under, name string) string {
	if under == "" {
		return name
	}
	return under + "." + name
}

// unknownKey explains a key that does not exist by the likeliest reason: a secret in
// the wrong place, the right key in the wrong section, a typing error.
func unknownKey(path, name string, section reflect.Type) string {
	what := "unknown key " + join(path, cmp.Or(text.Quote(text.Shorten(name, 40)), `""`))
	if file := secretFile(path, name); file != "" {
		return what + ": secrets do not belong in this file; put it in a file of its own (chmod 600) and name that in " + file
	}
	var here []string
	for key := range keys(section) {
		here = append(here, key)
	}
	if near := nearest(name, here); near != "" {
		return what + "; did you mean " + near + "?"
	}
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		if strings.HasSuffix("."+key, "."+name) {
			return fmt.Sprintf("%s; did you mean %s? check the indentation", what, key)
		}
	}
	return what + "; known here: " + strings.Join(here, ", ")
}

// secretFile returns, for a name that people give to a secret in the section at path, the
// key that takes its file.
func secretFile(path, name string) string {
	name = strings.ToLower(name)
	switch section, _, _ := strings.Cut(path, "."); {
	case section == "cluster":
		switch name {
		case "nkey", "nkey_seed", "seed":
			return "nkey_file"
		case "private_key":
			return "key_file"
		}
		return ""
	case section != "" && section != "vault" && !strings.HasPrefix(section, "mailu"):
		return ""
	}
	switch name {
	case "token", "vault_token", "api_token", "api_key", "password", "secret":
		return "token_file"
	case "role_id", "secret_id", "jwt":
		return name + "_file"
	case "private_key":
		return "key_file"
	}
	return ""
}

// nearest returns the candidate with the smallest edit distance to name, if that is
// small for the length.
func nearest(name string, candidates []string) string {
	best, fewest := "", 1+max(1, min(len(name), 12)/3)
	if len(name) > 40 {
		return ""
	}
	for _, candidate := range candidates {
		if d := distance(strings.ToLower(name), candidate); d < fewest {
			best, fewest = candidate, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

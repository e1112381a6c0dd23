package config

import (
	"fmt"
	"reflect"
	"strings"

	"mailu-rotator/internal/text"

	"cmp"
)

// unknownKey explains a key that does not exist by the likeliest reason: a secret in
// the wrong place, the right key in the wrong section, a typing error.
func unknownKey(path, name string, section reflect.Type) string {
	what := "unknown key " + join(path, cmp.Or(text.Quote(text.Shorten(name, 40)), `""`))
	if file := secretFile(name); file != "" && takesSecrets(path) {
		return what + ": secrets do not belong in this file; put it in a file of its own (chmod 600) and name that in " + file
	}
	var here []string
	for key := range keys(section) {
		here = append(here, key)
	}
	if near := nearest(name, here); near != "" {
		return what + "; did you mean " + near + "?"
	}
	for key := range allKeys(reflect.TypeFor[Config](), "") {
		if strings.HasSuffix("."+key, "."+name) {
			return fmt.Sprintf("%s; did you mean %s? check the indentation", what, key)
		}
	}
	return what + "; known here: " + strings.Join(here, ", ")
}

// secretFile returns, for a name that people give to a secret, the key that takes its
// file.
func secretFile(name string) string {
	switch strings.ToLower(name) {
	case "token", "vault_token", "api_token", "api_key", "password", "secret":
		return "token_file"
	case "role_id", "secret_id", "jwt":
		return strings.ToLower(name) + "_file"
	case "private_key":
		return "key_file"
	}
	return ""
}

func takesSecrets(section string) bool {
	return section == "" || strings.HasPrefix(section, "vault") || strings.HasPrefix(section, "mailu")
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

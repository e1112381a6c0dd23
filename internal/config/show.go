package config

import (
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
)

// YAML returns the effective configuration, with defaults and what the environment
// gave, as a file that [Load] reads as c. It has no secret, because c has none but
// VAULT_TOKEN, which has no key.
func (c *Config) YAML() ([]byte, error) {
	text, err := yaml.MarshalWithOptions(effective(reflect.ValueOf(*c)), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("print the configuration: %w", err)
	}
	return text, nil
}

// effective omits keys that have no value, and those of other login methods, which would
// be errors.
func effective(v reflect.Value) any {
	if text, isText := v.Interface().(fmt.Stringer); isText {
		return text.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		var all yaml.MapSlice
		for field, value := range v.Fields() {
			name := field.Tag.Get("yaml")
			_, ofMethod := field.Tag.Lookup("methods")
			optional := ofMethod || value.Kind() == reflect.Slice || field.Tag.Get("default") != ""
			if name != "-" && !(optional && value.IsZero()) {
				all = append(all, yaml.MapItem{Key: name, Value: effective(value)})
			}
		}
		return all
	case reflect.Slice:
		all := make([]any, v.Len())
		for i := range all {
			all[i] = effective(v.Index(i))
		}
		return all
	case reflect.String:
		return v.String()
	}
	return v.Interface()
}

package main

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
)

var marked = regexp.MustCompile(`(?ms)^(<!-- keys of (\w+): [^\n]* -->\n).*?^(<!-- end -->)$`)

// renew rewrites every table of the page. Each section of the configuration must have
// exactly one table.
func renew(page, source string) (string, error) {
	comments, err := readComments(source)
	if err != nil {
		return "", err
	}
	tables := map[string]*strings.Builder{}
	sections := reflect.ValueOf(config.Default())
	for i := range sections.NumField() {
		name, b := sections.Type().Field(i).Tag.Get("yaml"), &strings.Builder{}
		b.WriteString("\n| key | default | value | meaning |\n| --- | --- | --- | --- |\n")
		if err := comments.rows(b, sections.Field(i), name); err != nil {
			return "", err
		}
		tables[name] = b
	}
	unknown := ""
	page = marked.ReplaceAllStringFunc(page, func(old string) string {
		part := marked.FindStringSubmatch(old)
		b, known := tables[part[2]]
		if !known {
			unknown = part[2]
			return old
		}
		delete(tables, part[2])
		return part[1] + b.String() + "\n" + part[3]
	})
	if unknown != "" {
		return "", fmt.Errorf("a table for %s, which is no section, or has two", unknown)
	}
	for name := range tables {
		return "", fmt.Errorf("no table for %s: add the lines <!-- keys of %s: … --> and <!-- end -->", name, name)
	}
	return page, nil
}

// rows writes a row for each key of the section and of those below it.
func (c comments) rows(b *strings.Builder, section reflect.Value, path string) error {
	for i := range section.NumField() {
		field, value := section.Type().Field(i), section.Field(i)
		name := field.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		key := path + "." + name
		if value.Type() == reflect.TypeFor[[]config.Server]() {
			key, value = key+"[]", reflect.ValueOf(config.DefaultServer())
		}
		if isSection(value.Type()) {
			if err := c.rows(b, value, key); err != nil {
				return err
			}
			continue
		}
		meaning := c[section.Type().Name()+"."+field.Name]
		if meaning == "" {
			return fmt.Errorf("%s.%s has no comment", section.Type().Name(), field.Name)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, standard(field, value), allowed(field), meaning)
	}
	return nil
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && t.Field(0).Tag.Get("yaml") != ""
}

// kind names the kind of value in the page's terms.
func kind(field reflect.StructField) string {
	if said := field.Tag.Get("type"); said != "" {
		return said
	}
	switch field.Type {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[rotator.Origin]():
		return "URL"
	case reflect.TypeFor[config.Command]():
		return "list of text"
	}
	switch {
	case field.Type.Kind() == reflect.Bool:
		return "bool"
	case field.Type.Kind() == reflect.Int:
		return "number"
	case strings.HasSuffix(field.Tag.Get("yaml"), "_file"):
		return "file"
	}
	return "text"
}

// standard formats the default.
func standard(field reflect.StructField, value reflect.Value) string {
	if said := field.Tag.Get("default"); said != "" {
		return code(said)
	}
	text := fmt.Sprint(value.Interface())
	if value.Type() == reflect.TypeFor[time.Duration]() {
		text = short(text)
	}
	return "`" + text + "`"
}

// short formats a duration without zero units: 6h, not 6h0m0s.
func short(duration string) string {
	if strings.HasSuffix(duration, "m0s") {
		duration = strings.TrimSuffix(duration, "0s")
	}
	if strings.HasSuffix(duration, "h0m") {
		duration = strings.TrimSuffix(duration, "0m")
	}
	return duration
}

// allowed returns the kind of value with its limits, or the values themselves.
func allowed(field reflect.StructField) string {
	if values := field.Tag.Get("oneof"); values != "" {
		return "`" + strings.ReplaceAll(values, ",", "`, `") + "`"
	}
	if limits := field.Tag.Get("range"); limits != "" {
		return kind(field) + ": " + code(limits)
	}
	return kind(field)
}

// words matches literal values and names, which the page sets as code: tags cannot mark
// them.
var words = regexp.MustCompile(`@every \w+|@\w+|\b\w+(?:\.\w+)+\b|\b\w+_\w+\b`)

func code(text string) string { return words.ReplaceAllString(text, "`$0`") }

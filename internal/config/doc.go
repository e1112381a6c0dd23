// Package config turns one YAML file and four environment variables into a [Config]
// that the rest of the program uses without further checks: names are checked against
// the known ones, values are parsed into their types, relative paths are made absolute,
// and everything that can be found wrong without opening a connection is an error.
//
// [Load] promises:
//
//   - all errors at once, each with its line where it has one, the key's full
//     path and what to do about it;
//   - no guessing: unknown keys, duplicate keys, wrong types, several documents,
//     anchors, aliases, merge keys and tags are errors;
//   - a file larger than [MaxFileSize], or nested deeper than any configuration
//     needs, costs no more than reading it;
//   - secrets are never read from the YAML and no message repeats the content of
//     a file that holds one. A key such as "token" is answered with the name of
//     the key that takes a file.
//
// Files with secrets are named here, but their users open them with [ReadSecret];
// [Config.CheckFiles] tries all of them.
//
// The package knows nothing about the Vault and Mailu clients and must not import them:
// they receive values from it.
package config

//go:generate go run ./reference . ../../docs/configuration.md

package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser is recursive, stores the path of every node and needs quadratic time for
// long lists: a megabyte of "[" would need terabytes of memory, one of "a," hours. So
// it gets only shallow and short input.
const (
	maxTokens = 20_000 // comments apart; some 700 servers with every key set
	maxDepth  = 8      // brackets within brackets, dashes on one line
	maxColumn = 64     // of a line's first token, thus levels of indentation
)

// parse returns the file's only document, or nil if it is empty. It accepts only the
// part of YAML that a configuration needs: it refuses an alias before anything could
// expand it.
func (l *loader) parse(data []byte) (ast.Node, bool) {
	if !utf8.Valid(data) {
		l.add(token.Position{}, "the file is not UTF-8 text")
		return nil, false
	}
	tokens := tokenize(bytes.TrimPrefix(data, []byte("\uFEFF")))
	l.refuseUnsupported(tokens)
	if len(l.problems) > 0 {
		return nil, false
	}
	file, err := parseTokens(tokens)
	if err != nil {
		l.addSyntaxError(err)
		return nil, false
	}
	switch documents := file.Docs; len(documents) {
	case 0:
		return nil, true
	case 1:
		return documents[0].Body, true
	default:
		l.add(positionOf(documents[1].Start), "a second document begins here; the configuration is one document")
		return nil, false
	}
}

// tokenize and parseTokens turn a panic of the library into an error: a daemon that
// reloads must survive such a file.
func tokenize(data []byte) (tokens token.Tokens) {
	defer func() {
		if recover() != nil {
			tokens = token.Tokens{token.Invalid("cannot be read as YAML", "", &token.Position{Line: 1, Column: 1})}
		}
	}()
	return lexer.Tokenize(string(data))
}

func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("cannot be read as YAML")
		}
	}()
	// Duplicates pass the parser, so that decode can report all of them.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func (l *loader) refuseUnsupported(tokens token.Tokens) {
	var count, brackets, dashes, line, reported int
	for _, t := range tokens {
		at := positionOf(t)
		if t.Type != token.CommentType {
			count++
		}
		if count > maxTokens {
			l.add(at, "more than %d words and signs up to here: is it the right file?", maxTokens)
			return
		}
		if at.Line != line {
			line, dashes = at.Line, 0
			if at.Column > maxColumn {
				l.add(at, "indented by more than %d columns", maxColumn)
				return
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType:
			dashes++
		}
		if brackets > maxDepth || dashes > maxDepth {
			l.add(at, "nested more than %d deep", maxDepth)
			return
		}
		// One error a line: an unquoted "* * * * *" is one mistake, not five.
		if what := unsupported(t); what != "" && at.Line != reported {
			l.add(at, "%s", what)
			reported = at.Line
		}
	}
}

func unsupported(t *token.Token) string {
	switch t.Type {
	case token.AnchorType:
		return "anchors (&) are not supported; quote the value if it is meant to begin with &"
	case token.AliasType:
		return "aliases (*) are not supported; quote the value if it is meant to begin with *"
	case token.MergeKeyType:
		return "merge keys (<<) are not supported; write the keys out"
	case token.TagType:
		return "tags (!) are not supported; quote the value if it is meant to begin with !"
	case token.DirectiveType:
		return "directives (%) are not supported; quote the value if it is meant to begin with %"
	case token.MappingKeyType:
		return "complex keys (?) are not supported"
	}
	return ""
}

func (l *loader) addSyntaxError(err error) {
	// The library's own text quotes the lines around the error, which may hold a
	// misplaced secret.
	var syntax interface {
		error
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &syntax) {
		l.add(token.Position{}, "cannot be read as YAML")
		return
	}
	message, _, _ := strings.Cut(syntax.GetMessage(), "\n")
	l.add(positionOf(syntax.GetToken()), "not valid YAML: %s", message)
}

// positionOf returns the zero position if there is none.
func positionOf(t *token.Token) token.Position {
	if t == nil || t.Position == nil {
		return token.Position{}
	}
	return *t.Position
}

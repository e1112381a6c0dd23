package crypto

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sethvargo/go-password/password"
)

// MinEntropy is the minimum entropy of a [Recipe] in bits.
const MinEntropy = 128

// MaxLength bounds a password's length in characters: longer ones add no security and
// exceed limits in mail clients and SASL libraries.
const MaxLength = 128

// DefaultAlphabet has letters, digits and the symbols that need no quoting in
// URLs (RFC 3986 unreserved, without the tilde, which shells expand), shells,
// SMTP AUTH and nginx headers.
const DefaultAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"

// Recipe describes how a new password is composed.
type Recipe struct {
	Length   int    // total number of characters
	Digits   int    // exact number of digits
	Symbols  int    // exact number of symbols
	Alphabet string // the characters to choose from, each once, printable ASCII
}

// DefaultRecipe is 32 characters, including 6 digits and 3 symbols of
// [DefaultAlphabet].
func DefaultRecipe() Recipe {
	return Recipe{Length: 32, Digits: 6, Symbols: 3, Alphabet: DefaultAlphabet}
}

// Entropy returns the bits of entropy of a password made by this recipe. The
// generator is uniform over the strings with exactly these counts of letters,
// digits and symbols, so the entropy is the logarithm of their number:
//
//	n! / (l! d! s!) * |letters|^l * |digits|^d * |symbols|^s * (1 - s/n)
//
// where the last factor is the share that does not begin with a symbol. The recipe must
// have passed [NewGenerator]'s checks; otherwise the result is 0.
func (r Recipe) Entropy() float64 {
	if r.check() != nil {
		return 0
	}
	letters, digits, symbols := classes(r.Alphabet)
	plain := r.Length - r.Digits - r.Symbols
	bits := log2Factorial(r.Length) - log2Factorial(plain) - log2Factorial(r.Digits) - log2Factorial(r.Symbols)
	bits += choices(plain, letters) + choices(r.Digits, digits) + choices(r.Symbols, symbols)
	return bits + math.Log2(1-float64(r.Symbols)/float64(r.Length))
}

func log2Factorial(n int) float64 {
	ln, _ := math.Lgamma(float64(n) + 1)
	return ln / math.Ln2
}

func choices(n int, from string) float64 {
	if n == 0 {
		return 0
	}
	return float64(n) * math.Log2(float64(len(from)))
}

// Generator makes passwords from one recipe. It is safe for concurrent use.
type Generator struct {
	recipe    Recipe
	generator *password.Generator
}

// NewGenerator refuses a recipe that is impossible or that gives fewer than
// [MinEntropy] bits.
func NewGenerator(r Recipe) (*Generator, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if bits := r.Entropy(); bits < MinEntropy {
		return nil, fmt.Errorf("passwords would have %.0f bits of entropy, need at least %d: raise the length or widen the alphabet", bits, MinEntropy)
	}
	letters, digits, symbols := classes(r.Alphabet)
	// All letters are passed as "lower": the library's upper set cannot be empty.
	generator, err := password.NewGenerator(&password.GeneratorInput{LowerLetters: letters, Digits: digits, Symbols: symbols})
	if err != nil {
		return nil, fmt.Errorf("password generator: %w", err)
	}
	return &Generator{recipe: r, generator: generator}, nil
}

// Generate returns a new password from the system's random source.
func (g *Generator) Generate() (Secret, error) {
	for {
		s, err := g.generator.Generate(g.recipe.Length, g.recipe.Digits, g.recipe.Symbols, true, true)
		if err != nil {
			return Secret{}, fmt.Errorf("generate password: %w", err)
		}
		// A shell reads a leading "-" or "." as an option or a hidden file.
		if isLetter(s[0]) || isDigit(s[0]) {
			return SecretFromString(s), nil
		}
	}
}

func (r Recipe) check() error {
	if err := checkAlphabet(r.Alphabet); err != nil {
		return err
	}
	letters, digits, symbols := classes(r.Alphabet)
	switch plain := r.Length - r.Digits - r.Symbols; {
	case r.Length < 1 || r.Length > MaxLength:
		return fmt.Errorf("length %d is outside 1 to %d", r.Length, MaxLength)
	case r.Digits < 0 || r.Symbols < 0:
		return errors.New("digits and symbols are counts and cannot be negative")
	case plain < 0:
		return fmt.Errorf("%d digits and %d symbols do not fit into %d characters", r.Digits, r.Symbols, r.Length)
	case r.Symbols == r.Length:
		return errors.New("a password cannot be all symbols: it never begins with one")
	case plain > 0 && letters == "":
		return errors.New("the alphabet has no letters")
	case r.Digits > 0 && digits == "":
		return errors.New("the alphabet has no digits")
	case r.Symbols > 0 && symbols == "":
		return errors.New("the alphabet has no symbols")
	}
	return nil
}

func checkAlphabet(alphabet string) error {
	for i := range len(alphabet) {
		c := alphabet[i]
		if c <= ' ' || c > '~' {
			return errors.New("the alphabet may hold printable ASCII only, without the space")
		}
		if strings.IndexByte(alphabet[i+1:], c) >= 0 {
			return fmt.Errorf("the alphabet holds %q twice, which would favour it", c)
		}
	}
	return nil
}

func classes(alphabet string) (letters, digits, symbols string) {
	for i := range len(alphabet) {
		switch c := alphabet[i : i+1]; {
		case isLetter(c[0]):
			letters += c
		case isDigit(c[0]):
			digits += c
		default:
			symbols += c
		}
	}
	return letters, digits, symbols
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

package crypto

import (
	"math"
	"strings"
	"testing"

	"github.com/sethvargo/go-password/password"
)

func TestPasswordsFollowTheRecipe(t *testing.T) {
	tests := []struct {
		name   string
		recipe Recipe
	}{
		{"default", DefaultRecipe()},
		{"longest", Recipe{Length: MaxLength, Digits: 10, Symbols: 10, Alphabet: DefaultAlphabet}},
		{"letters only", Recipe{Length: 32, Alphabet: "abcdefghijklmnopqrstuvwxyz"}},
		{"digits only", Recipe{Length: 64, Digits: 64, Alphabet: "0123456789"}},
		{"mostly symbols", Recipe{Length: 40, Digits: 1, Symbols: 38, Alphabet: DefaultAlphabet + "!$%&/()=?*+~#@{}[]"}},
		{"upper case only", Recipe{Length: 40, Digits: 4, Alphabet: "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			generator, err := NewGenerator(test.recipe)
			mustSucceed(t, err)

			for range 200 {
				secret, err := generator.Generate()

				mustSucceed(t, err)
				mustFollow(t, test.recipe, secret.RevealString())
			}
		})
	}
}

func TestPasswordsDoNotRepeat(t *testing.T) {
	generator, err := NewGenerator(DefaultRecipe())
	mustSucceed(t, err)
	seen := map[string]bool{}

	for range 1000 {
		secret, err := generator.Generate()
		mustSucceed(t, err)
		seen[secret.RevealString()] = true
	}

	if len(seen) != 1000 {
		t.Errorf("%d different ones of 1000", len(seen))
	}
}

func TestRecipesThatAreRefused(t *testing.T) {
	letters := "abcdefghijklmnopqrstuvwxyz"
	tests := []struct {
		name   string
		recipe Recipe
		words  string
	}{
		{"zero", Recipe{}, "length 0"},
		{"negative length", Recipe{Length: -1, Alphabet: letters}, "length -1"},
		{"too long", Recipe{Length: MaxLength + 1, Alphabet: letters}, "length 129"},
		{"negative digits", Recipe{Length: 32, Digits: -1, Alphabet: DefaultAlphabet}, "negative"},
		{"negative symbols", Recipe{Length: 32, Symbols: -1, Alphabet: DefaultAlphabet}, "negative"},
		{"more than fits", Recipe{Length: 32, Digits: 30, Symbols: 3, Alphabet: DefaultAlphabet}, "do not fit"},
		{"all symbols", Recipe{Length: 40, Symbols: 40, Alphabet: DefaultAlphabet}, "all symbols"},
		{"no letters", Recipe{Length: 40, Digits: 39, Alphabet: "0123456789"}, "no letters"},
		{"no digits", Recipe{Length: 40, Digits: 1, Alphabet: letters}, "no digits"},
		{"no symbols", Recipe{Length: 40, Symbols: 1, Alphabet: letters}, "no symbols"},
		{"empty alphabet", Recipe{Length: 40}, "no letters"},
		{"a letter twice", Recipe{Length: 40, Alphabet: letters + "a"}, "twice"},
		{"a letter twice in a row", Recipe{Length: 40, Alphabet: "a" + letters}, "twice"},
		{"a space", Recipe{Length: 40, Alphabet: letters + " "}, "printable ASCII"},
		{"a control character", Recipe{Length: 40, Alphabet: letters + "\x7f"}, "printable ASCII"},
		{"a line break", Recipe{Length: 40, Alphabet: letters + "\n"}, "printable ASCII"},
		{"beyond ASCII", Recipe{Length: 40, Alphabet: letters + "ä"}, "printable ASCII"},
		{"one bit too few", Recipe{Length: 127, Alphabet: "ab"}, "127 bits"},
		{"a short one", Recipe{Length: 16, Digits: 2, Symbols: 1, Alphabet: DefaultAlphabet}, "bits of entropy"},
		{"one letter", Recipe{Length: 128, Alphabet: "a"}, "0 bits"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewGenerator(test.recipe)

			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want words %q", err, test.words)
			}
		})
	}
}

func TestJustEnoughEntropyIsEnough(t *testing.T) {
	_, err := NewGenerator(Recipe{Length: 128, Alphabet: "ab"})

	mustSucceed(t, err)
}

func TestTheDefaultRecipeHasEntropyToSpare(t *testing.T) {
	if bits := DefaultRecipe().Entropy(); bits < 170 || bits > 200 {
		t.Errorf("%.1f bits", bits)
	}
}

// tinyRecipes have so few passwords that a test can enumerate them.
var tinyRecipes = []Recipe{
	{Length: 1, Alphabet: "abc"},
	{Length: 3, Alphabet: "aB"},
	{Length: 2, Digits: 1, Alphabet: "ab01"},
	{Length: 2, Digits: 2, Alphabet: "012"},
	{Length: 3, Digits: 1, Symbols: 1, Alphabet: "ab1-"},
	{Length: 4, Digits: 1, Symbols: 2, Alphabet: "ab12-._"},
	{Length: 4, Digits: 2, Symbols: 1, Alphabet: "aB12-."},
	{Length: 3, Symbols: 2, Alphabet: "a-."},
}

func TestEntropyIsTheLogarithmOfTheNumberOfPasswords(t *testing.T) {
	for _, recipe := range tinyRecipes {
		want := math.Log2(float64(len(passwordsOf(recipe))))

		if got := recipe.Entropy(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%+v: %f bits, but there are 2^%f passwords", recipe, got, want)
		}
	}
}

func TestEveryPasswordIsAsLikelyAsAnyOther(t *testing.T) {
	const each = 400 // expected count of every password; the standard deviation is at most 20
	for _, recipe := range tinyRecipes {
		all := passwordsOf(recipe)
		generator := unguarded(t, recipe)

		drawn := map[string]int{}
		for range each * len(all) {
			secret, err := generator.Generate()
			mustSucceed(t, err)
			drawn[secret.RevealString()]++
		}

		for _, one := range all {
			if n := drawn[one]; n < each-7*20 || n > each+7*20 {
				t.Errorf("%+v: %q came %d times, expected about %d", recipe, one, n, each)
			}
		}
		if len(drawn) != len(all) {
			t.Errorf("%+v: drew %d different passwords, there are %d", recipe, len(drawn), len(all))
		}
	}
}

// passwordsOf tries every string over the alphabet.
func passwordsOf(r Recipe) (all []string) {
	var extend func(string)
	extend = func(prefix string) {
		if len(prefix) == r.Length {
			if follows(r, prefix) {
				all = append(all, prefix)
			}
			return
		}
		for i := range len(r.Alphabet) {
			extend(prefix + r.Alphabet[i:i+1])
		}
	}
	extend("")
	return all
}

// unguarded returns a generator without the entropy check.
func unguarded(t *testing.T, r Recipe) *Generator {
	t.Helper()
	mustSucceed(t, r.check())
	letters, digits, symbols := classes(r.Alphabet)
	generator, err := password.NewGenerator(&password.GeneratorInput{LowerLetters: letters, Digits: digits, Symbols: symbols})
	mustSucceed(t, err)
	return &Generator{recipe: r, generator: generator}
}

func mustFollow(t *testing.T, r Recipe, s string) {
	t.Helper()
	if !follows(r, s) {
		t.Fatalf("%q does not follow %+v", s, r)
	}
}

// follows checks the counts independently of the code under test.
func follows(r Recipe, s string) bool {
	digits, symbols := 0, 0
	for i := range len(s) {
		switch {
		case !strings.Contains(r.Alphabet, s[i:i+1]):
			return false
		case strings.Contains("0123456789", s[i:i+1]):
			digits++
		case !strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", s[i:i+1]):
			symbols++
			if i == 0 {
				return false
			}
		}
	}
	return len(s) == r.Length && digits == r.Digits && symbols == r.Symbols
}

// Every accepted recipe makes passwords that match it.
func FuzzRecipe(f *testing.F) {
	d := DefaultRecipe()
	f.Add(d.Length, d.Digits, d.Symbols, d.Alphabet)
	f.Add(128, 0, 0, "ab")
	f.Add(128, 0, 127, "a-")
	f.Add(128, 1, 127, "0-")
	f.Add(0, 0, 0, "")
	f.Add(30, -1, 31, "ab-")
	f.Add(1<<62, 1<<62, 1<<62, "aa")
	f.Add(40, 2, 2, "aü0-")
	f.Fuzz(func(t *testing.T, length, digits, symbols int, alphabet string) {
		recipe := Recipe{Length: length, Digits: digits, Symbols: symbols, Alphabet: alphabet}
		generator, err := NewGenerator(recipe)
		if err != nil {
			return
		}

		secret, err := generator.Generate()

		mustSucceed(t, err)
		password := secret.RevealString()
		inClass := func(is func(byte) bool) (n int) {
			for i := range len(password) {
				if is(password[i]) {
					n++
				}
			}
			return n
		}
		letters, numbers := inClass(isLetter), inClass(isDigit)
		if len(password) != length || numbers != digits || length-letters-numbers != symbols || strings.Trim(password, alphabet) != "" {
			t.Errorf("%+v made %q", recipe, password)
		}
	})
}

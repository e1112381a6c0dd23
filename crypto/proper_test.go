package crypto_test

import (
	"strings"
	"testing"

	"mailu-rotator/crypto"
)

func TestPasswordsThatCannotBeOurs(t *testing.T) {
	for _, test := range []struct{ name, password, want string }{
		{"empty", "", "the password is empty"},
		{"newline of echo", "secret\n", "the password ends in a newline"},
		{"newline of Windows", "secret\r\n", "the password ends in a newline"},
		{"carriage return", "secret\r", "the password ends in a newline"},
		{"newline in front", "\nsecret", "the password begins or ends with a space"},
		{"space in front", " secret", "the password begins or ends with a space"},
		{"space behind", "secret ", "the password begins or ends with a space"},
		{"tab behind", "secret\t", "the password begins or ends with a space"},
		{"no-break space behind", "secret\u00a0", "the password begins or ends with a space"},
		{"newline within", "sec\nret", "the password has control characters in it"},
		{"zero byte", "secret\x00", "the password has control characters in it"},
		{"DEL", "sec\x7fret", "the password has control characters in it"},
		{"C1 control", "sec\u0085ret", "the password has control characters in it"},
		{"byte order mark", "\ufeffsecret", "the password has invisible characters in it"},
		{"zero-width space", "sec\u200bret", "the password has invisible characters in it"},
		{"no-break space within", "sec\u00a0ret", "the password has invisible characters in it"},
		{"line separator", "sec\u2028ret", "the password has invisible characters in it"},
		{"not UTF-8", "sec\xffret", "the password is not UTF-8"},
		{"too long", strings.Repeat("ä", 4097), "the password is longer than 4096 characters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := crypto.CheckPassword(crypto.SecretFromString(test.password)); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestPasswordsThatMayBeSent(t *testing.T) {
	for _, password := range []string{"x", "correct horse battery staple", "pässwörd", "密码", "🔑", `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`, strings.Repeat("ä", 4096)} {
		if err := crypto.CheckPassword(crypto.SecretFromString(password)); err != nil {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

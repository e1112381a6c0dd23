package mailu

import (
	"io"
	"net/http"
	"testing"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
)

const changeAtLogin = "change_pw_next_login"

func setPassword(t testing.TB, s *Server) error {
	t.Helper()
	return s.SetPassword(t.Context(), user, crypto.SecretFromString(newPassword))
}

func TestPushEndsTheDemandForAnotherPassword(t *testing.T) {
	for _, asked := range []bool{true, false} {
		fake, server := pair(t, mailutest.Config{})
		fake.SetFlag(user, changeAtLogin, true)
		if asked {
			if err := server.Knows(t.Context(), user); err != nil || !server.Account(user).ChangeAtLogin {
				t.Fatalf("%v, shown %+v", err, server.Account(user))
			}
		}

		err := setPassword(t, server)

		if err != nil || fake.Flag(user, changeAtLogin) || !fake.Accepts(user, newPassword) || server.Account(user).ChangeAtLogin {
			t.Errorf("asked before %t: %v, still demanded %t, shown %+v", asked, err, fake.Flag(user, changeAtLogin), server.Account(user))
		}
		if fake.Count(http.MethodGet) != 1 || fake.Count(http.MethodPatch) != 1 {
			t.Errorf("asked before %t: %d questions, %d pushes", asked, fake.Count(http.MethodGet), fake.Count(http.MethodPatch))
		}
	}
}

func TestAnotherServerValueAsksForItself(t *testing.T) {
	fake := mailutest.Run(t, mailutest.Config{})
	fake.AddUser(user, oldPassword)
	servers, err := New([]ServerConfig{entry(fake.Origin())}, quick())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	_ = serverOf(t, servers, rotator.Origin(fake.Origin())).Knows(t.Context(), user)

	err = setPassword(t, serverOf(t, servers, rotator.Origin(fake.Origin())))

	if err != nil || fake.Count(http.MethodGet) != 2 {
		t.Errorf("%v after %d questions", err, fake.Count(http.MethodGet))
	}
}

// To a release without the field only the password is sent.
func TestPushNamesTheFieldsThatWereShown(t *testing.T) {
	for shown, want := range map[string]string{
		`{"email":"admin@example.com","change_pw_next_login":true}`:  `{"raw_password":"pw","change_pw_next_login":false}`,
		`{"email":"admin@example.com","change_pw_next_login":false}`: `{"raw_password":"pw","change_pw_next_login":false}`,
		`{"email":"admin@example.com","change_pw_next_login":null}`:  `{"raw_password":"pw"}`,
		`{"email":"admin@example.com"}`:                              `{"raw_password":"pw"}`,
	} {
		var sent []byte
		options := quick()
		options.transport = inMemory(func(req *http.Request) (resp *http.Response, err error) {
			if req.Method == http.MethodGet {
				return respond(200, shown), nil
			}
			sent, err = io.ReadAll(req.Body)
			return respond(200, updated), err
		})
		server := open(t, entry("https://mail.example.com"), options)

		err := server.SetPassword(t.Context(), user, crypto.SecretFromString("pw"))

		if err != nil || string(sent) != want {
			t.Errorf("of %s: sent %s, want %s (%v)", shown, sent, want, err)
		}
	}
}

func TestPushAfterAQuestionThatFailsIsNotSent(t *testing.T) {
	for status, refused := range map[int]bool{400: true, 404: true, 500: false} {
		fake, server := pair(t, mailutest.Config{})
		fake.Inject(mailutest.Fault{Kind: mailutest.Status, Method: http.MethodGet, Status: status})

		err := setPassword(t, server)

		if refused {
			mustBe(t, err, rotator.ErrRefused)
		} else {
			mustNotBe(t, err, rotator.ErrRefused)
		}
		if err == nil || fake.Count(http.MethodPatch) != 0 {
			t.Errorf("status %d: %v, %d pushes", status, err, fake.Count(http.MethodPatch))
		}
	}
}

func TestWhatIsShownOfAnAccount(t *testing.T) {
	for flag, want := range map[string]rotator.Account{
		"":            {},
		"enabled":     {Disabled: true},
		"enable_imap": {NoIMAP: true},
		"enable_pop":  {},
	} {
		fake, server := pair(t, mailutest.Config{})
		if flag != "" {
			fake.SetFlag(user, flag, false)
		}

		_, err := prove(t, server, oldPassword)

		if got := server.Account(user); err != nil || got != want || server.Account("other@example.com") != (rotator.Account{}) {
			t.Errorf("%q off: %+v, %v", flag, got, err)
		}
	}
}

package logins

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
)

// asCheckPassword makes this program the one that Dovecot starts to check a password.
const asCheckPassword = "checkpassword"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == asCheckPassword {
		os.Exit(checkPassword(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// Exit statuses of the checkpassword interface (https://cr.yp.to/checkpwd/interface.html).
const (
	refused = 1
	failed  = 111 // for now
)

// checkPassword asks Mailu, by the protocol of nginx's mail proxy, and becomes the program
// next if the password is right.
func checkPassword(mailu string, next []string) (status int) {
	input, err := io.ReadAll(os.NewFile(3, "credentials"))
	fields := bytes.Split(input, []byte{0})
	if err != nil || len(fields) < 2 {
		return failed
	}
	req, err := http.NewRequest(http.MethodGet, mailu, nil)
	if err != nil {
		return failed
	}
	for name, value := range map[string]string{
		"Auth-Method": "plain", "Auth-Protocol": os.Getenv("SERVICE"), "Client-Ip": os.Getenv("TCPREMOTEIP"),
		"Auth-User": url.PathEscape(string(fields[0])), "Auth-Pass": url.PathEscape(string(fields[1])),
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return failed
	}
	_ = resp.Body.Close()
	switch resp.Header.Get("Auth-Status") {
	case "OK":
		env := append(os.Environ(), "USER="+string(fields[0]))
		fmt.Fprintln(os.Stderr, syscall.Exec(next[0], next, env))
		return failed
	case "Authentication credentials invalid":
		return refused
	}
	return failed
}

package mailutest

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// AddMailAuth gives the server the address that Mailu's front asks about each mail login (internal/auth/email), and
// returns its URL. The front's answers to users come from the headers Auth-Status and Auth-Error-Code.
func (s *Server) AddMailAuth() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("add mail logins to mailu: %w", err)
	}
	inner := &http.Server{Handler: http.HandlerFunc(s.mailAuth), ReadHeaderTimeout: time.Minute}
	s.running.Go(func() { _ = inner.Serve(listener) })
	s.running.Go(func() {
		<-s.closing
		_ = inner.Close()
	})
	return "http://" + listener.Addr().String() + "/internal/auth/email", nil
}

// mailStatus is a row of STATUSES (internal/nginx.py).
type mailStatus struct {
	text  string
	codes map[string]string // by protocol
}

var (
	mailRefused = mailStatus{"Authentication credentials invalid", map[string]string{"imap": "AUTHENTICATIONFAILED", "smtp": "535 5.7.8"}}
	mailLimited = mailStatus{"Temporary authentication failure (rate-limit)", map[string]string{"imap": "LIMIT", "smtp": "451 4.3.2"}}
)

func (s *Server) mailAuth(w http.ResponseWriter, r *http.Request) {
	protocol := r.Header.Get("Auth-Protocol")
	email, _ := url.PathUnescape(r.Header.Get("Auth-User"))
	password, _ := url.PathUnescape(r.Header.Get("Auth-Pass"))
	status := s.mailLogin(protocol, email, password, r.Header.Get("Client-Ip"))
	if status == nil {
		w.Header().Set("Auth-Status", "OK")
		return
	}
	w.Header().Set("Auth-Status", status.text)
	w.Header().Set("Auth-Error-Code", status.codes[protocol])
}

// mailLogin is nginx_authentication (internal/views/auth.py) with check_credentials (internal/nginx.py); nil: accepted.
func (s *Server) mailLogin(protocol, email, password, client string) *mailStatus {
	client = net.JoinHostPort(client, "0")
	s.mu.Lock()
	exempt := slices.Contains(s.exempt, client)
	s.mu.Unlock()
	if !exempt && s.limiter.blocked(client) {
		return &mailLimited
	}
	u := s.user(email)
	known := u.hash != ""
	if known && !exempt && s.wrongPasswords(email) >= s.config.UserRateLimit {
		return &mailLimited
	}
	accepted := (protocol != "imap" || u.fields["enable_imap"] == true) && s.Login(email, password) && !s.config.RequireTokens
	s.noteLogin(email, accepted)
	switch {
	case accepted:
		s.mu.Lock()
		s.exempt = append(s.exempt, client)
		s.mu.Unlock()
		return nil
	case known:
		s.wrongPassword(email, password, exempt)
	case !exempt:
		s.limiter.fail(client)
	}
	return &mailRefused
}

// wrongPasswords is how many different ones count against AUTH_RATELIMIT_USER.
func (s *Server) wrongPasswords(email string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wrong[addressKey(email)])
}

// wrongPassword counts a password once (limiter.py rate_limit_user).
func (s *Server) wrongPassword(email, password string, exempt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := addressKey(email)
	if !exempt && !slices.Contains(s.wrong[key], password) {
		s.wrong[key] = append(s.wrong[key], password)
	}
}

package mailutest

import (
	"encoding/base64"
	"errors"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// AddSubmission gives a TLS server a submission service: SMTP with TLS from the start, as on port 465, that logs users
// in by AUTH PLAIN and takes no mail. It returns host:port, and serves until Close.
//
// before, unless nil, is called before a password is checked. What it returns, if anything, is answered instead.
func (s *Server) AddSubmission(before func(email, password string) (reply string)) (address string, err error) {
	if !s.config.TLS {
		return "", errors.New("add a submission service to mailu: the server has no TLS")
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	listener := s.authority.listener(plain)
	s.running.Go(func() {
		<-s.closing
		_ = listener.Close()
	})
	s.running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return // closed
			}
			s.running.Go(func() { s.submission(connection, before) })
		}
	})
	return plain.Addr().String(), nil
}

// Logins returns which mail logins with an address were accepted, in order.
func (s *Server) Logins(email string) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logins[addressKey(email)])
}

func (s *Server) submission(connection net.Conn, before func(email, password string) string) {
	ended := make(chan struct{})
	defer close(ended)
	s.running.Go(func() {
		select {
		case <-s.closing:
		case <-ended:
		}
		_ = connection.Close()
	})
	_ = connection.SetDeadline(time.Now().Add(time.Minute)) // a client that hangs must not keep Close waiting
	smtp := textproto.NewConn(connection)
	answer := "220 mailutest ESMTP ready"
	for {
		if smtp.PrintfLine("%s", answer) != nil {
			return
		}
		line, err := smtp.ReadLine()
		if err != nil {
			return
		}
		command, argument, _ := strings.Cut(line, " ")
		switch strings.ToUpper(command) {
		case "EHLO":
			answer = "250-mailutest\r\n250 AUTH PLAIN"
		case "AUTH":
			answer = s.authenticate(smtp, argument, before)
		case "NOOP":
			answer = "250 2.0.0 OK"
		case "QUIT":
			_ = smtp.PrintfLine("221 2.0.0 Bye")
			return
		default:
			answer = "502 5.5.1 Invalid command"
		}
	}
}

// authenticate is AUTH PLAIN (RFC 4616), with the response in the command or on the next line. The refusal is Mailu's
// (internal/nginx.py STATUSES), which the front passes on.
func (s *Server) authenticate(smtp *textproto.Conn, argument string, before func(email, password string) string) (answer string) {
	const malformed = "501 5.5.2 Syntax error"
	mechanism, response, given := strings.Cut(argument, " ")
	if !strings.EqualFold(mechanism, "PLAIN") {
		return malformed
	}
	if !given {
		var err error
		if smtp.PrintfLine("334 ") != nil {
			return malformed
		}
		if response, err = smtp.ReadLine(); err != nil {
			return malformed
		}
	}
	raw, err := base64.StdEncoding.DecodeString(response)
	parts := strings.Split(string(raw), "\x00")
	if err != nil || len(parts) != 3 {
		return malformed
	}
	email, password := parts[1], parts[2]
	if before != nil {
		if reply := before(email, password); reply != "" {
			return reply
		}
	}
	accepted := s.Login(email, password)
	s.noteLogin(email, accepted)
	if !accepted {
		return "535 5.7.8 Authentication credentials invalid"
	}
	return "235 2.0.0 OK"
}

func (s *Server) noteLogin(email string, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := addressKey(email)
	s.logins[key] = append(s.logins[key], accepted)
}

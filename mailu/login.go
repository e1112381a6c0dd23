package mailu

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/netfault"
	"mailu-rotator/internal/peer"
	"mailu-rotator/rotator"
)

const (
	maxLoginTime = 10 * time.Second // at one service: a run waits for it
	maxLoginSize = 256 << 10        // bytes that are read from one service, certificates included
)

// Login names the mail services of a server for real logins, as [peer.ParseMailService]
// reads them. Empty ones are not used.
type Login struct{ SMTP, IMAP string }

// mailService is one of a server's mail services.
type mailService struct {
	peer.MailService
	protocol string // "SMTP" or "IMAP"
	open     func(net.Conn, mailService) (mailSession, error)
}

// mailSession is a connection on which the service's greeting was read.
type mailSession interface {
	startTLS(context.Context, *tls.Config) error
	// authenticate is AUTH PLAIN (RFC 4616).
	authenticate(username string, password crypto.Secret) error
	state() tls.ConnectionState
	io.Closer
}

// loginError is a failure that needs other advice than a network error.
type loginError struct {
	cause, next string
	refused     bool
}

func (e *loginError) Error() string { return e.cause }

func mailServices(l Login) (all []mailService, err error) {
	var wrong []error
	for _, service := range []struct {
		text string
		mailService
	}{
		{l.SMTP, mailService{protocol: "SMTP", open: openSMTP}},
		{l.IMAP, mailService{protocol: "IMAP", open: openIMAP}},
	} {
		if service.text == "" {
			continue
		}
		at, err := peer.ParseMailService(service.text)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("login.%s: %w", strings.ToLower(service.protocol), err))
		}
		service.MailService = at
		all = append(all, service.mailService)
	}
	return all, errors.Join(wrong...)
}

// CanLogin implements [rotator.Server]. Mailu refuses a disabled user, and counts that as
// a wrong password.
func (s *Server) CanLogin(username string) bool { return len(s.loginServices(username)) > 0 }

func (s *Server) loginServices(username string) (open []mailService) {
	account := s.Account(username)
	for _, service := range s.services {
		if !account.Disabled && !(account.NoIMAP && service.protocol == "IMAP") {
			open = append(open, service)
		}
	}
	return open
}

// Login implements [rotator.Server]. The password goes only over TLS, to a server with a
// certificate for the configured name, by the authorities of the server's entry. After a
// refusal nothing more is sent. Each login takes a turn among the requests of the API's
// host, because the same process checks it.
func (s *Server) Login(ctx context.Context, username string, password crypto.Secret) error {
	if err := s.limiter.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.limiter.Release(1)
	var failed error
	for _, service := range s.loginServices(username) {
		err := s.loginAt(ctx, service, username, password)
		switch {
		case errors.Is(err, rotator.ErrLoginRefused):
			return err
		case err != nil && failed != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		case err != nil:
			failed = err
		}
	}
	return failed
}

func (s *Server) loginAt(ctx context.Context, service mailService, username string, password crypto.Secret) error {
	limited, cancel := context.WithTimeout(ctx, min(s.config.Timeout, maxLoginTime))
	defer cancel()
	session, err := s.connect(limited, service)
	if err == nil {
		defer session.Close()
		err = session.authenticate(username, password)
	}
	if err == nil {
		return nil
	}
	f := s.loginFailure(limited, service, err, s.sanitizer(username, password))
	f.action, f.user = "log in by "+service.protocol+" "+service.Address()+" as", username
	return f
}

func (s *Server) loginFailure(limited context.Context, service mailService, err error, clean sanitizer) *failure {
	f := &failure{origin: s.config.Origin}
	said, isOwn := errors.AsType[*loginError](err)
	switch {
	case isOwn:
		f.cause, f.next = clean.clean(said.cause), said.next
		if said.refused {
			f.kinds = []error{rotator.ErrLoginRefused}
		}
	case limited.Err() != nil:
		f.cause, f.next = "no answer in time", "see whether the mail service and the network to it are up"
		f.kinds = []error{limited.Err()}
	default:
		f.cause, f.next = clean.clean(err.Error()), adviseOnLogin(err)
	}
	return f
}

// connect returns a session that is encrypted.
func (s *Server) connect(ctx context.Context, service mailService) (session mailSession, err error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", service.Address())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = raw.Close() }) // at the latest when the caller is done
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots, ServerName: service.Host}
	var conn net.Conn = &limitedConn{Conn: raw, left: maxLoginSize}
	if !service.StartTLS {
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = encrypted
	}
	session, err = service.open(conn, service)
	if err == nil && service.StartTLS {
		err = session.startTLS(ctx, config)
	}
	return session, err
}

// limitedConn reads a limited number of bytes.
type limitedConn struct {
	net.Conn
	left int
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, &loginError{cause: "the server sent too much", next: "see whether that is the port of a mail service"}
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// Advice about the answers of mail services.
const (
	adviceRefused = "the hash in Mailu proves the password, so the front refuses it for another reason, which the log of Mailu's admin names after \"Login attempt\"; " +
		"with AUTH_REQUIRE_TOKENS no password is accepted there: remove login from the server's entry"
	adviceLimited  = "wait, and see the log of Mailu's admin: after too many wrong logins of anyone Mailu refuses right ones for a time (AUTH_RATELIMIT_IP, AUTH_RATELIMIT_USER)"
	adviceStartTLS = "enable TLS in Mailu (TLS_FLAVOR), or use the port that begins with TLS: no password is sent in plain text"
	adviceService  = "see whether login names the port of the mail service, and that service's log"
)

func adviseOnLogin(err error) string {
	switch netfault.Of(err) {
	case netfault.WrongName:
		return "make the name in login one that the server's certificate is for"
	case netfault.NotTLS:
		return "see whether the port in login is one that begins with TLS; write starttls:// before it if it does not"
	case netfault.UnknownName, netfault.NoNameService:
		return "see whether the name in login is right and resolves on this host"
	case netfault.Other:
		return adviceService
	}
	next, _ := adviseOn(err)
	return next
}

// smtpSession is the library's client: SMTP has its edge cases.
type smtpSession struct {
	*smtp.Client
	host string
}

func openSMTP(conn net.Conn, service mailService) (mailSession, error) {
	client, err := smtp.NewClient(conn, service.Host)
	if err != nil {
		return nil, smtpFailure(err)
	}
	return smtpSession{client, service.Host}, nil
}

func (s smtpSession) startTLS(_ context.Context, config *tls.Config) error {
	if offered, _ := s.Extension("STARTTLS"); !offered {
		return &loginError{cause: "no STARTTLS offered", next: adviceStartTLS}
	}
	return smtpFailure(s.StartTLS(config))
}

func (s smtpSession) state() tls.ConnectionState {
	state, _ := s.TLSConnectionState()
	return state
}

func (s smtpSession) authenticate(username string, password crypto.Secret) error {
	if _, methods := s.Extension("AUTH"); !strings.Contains(" "+methods+" ", " PLAIN ") {
		return &loginError{cause: "no AUTH PLAIN offered", next: adviceService}
	}
	return smtpFailure(s.Auth(smtp.PlainAuth("", username, password.RevealString(), s.host)))
}

// smtpFailure classifies replies (RFC 4954, section 6): 535 and 525 are about user and
// password. Mailu answers 451 over a limit.
func smtpFailure(err error) error {
	reply, is := errors.AsType[*textproto.Error](err)
	if !is {
		return err
	}
	e := &loginError{cause: "answered " + reply.Error(), next: adviceService}
	switch {
	case reply.Code == 535 || reply.Code == 525:
		e.refused, e.next = true, adviceRefused
	case reply.Code/100 == 4:
		e.next = adviceLimited
	}
	return e
}

// imapSession speaks the commands of IMAP (RFC 9051) that a login takes.
type imapSession struct {
	*textproto.Conn
	conn net.Conn // a *tls.Conn once it is encrypted
}

func openIMAP(conn net.Conn, _ mailService) (mailSession, error) {
	s := &imapSession{textproto.NewConn(conn), conn}
	greeting, err := s.ReadLine()
	if err == nil && !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		err = &loginError{cause: "greeted by " + greeting, next: adviceService}
	}
	return s, err
}

func (s *imapSession) startTLS(ctx context.Context, config *tls.Config) error {
	answer, err := s.command("a1", "STARTTLS")
	switch {
	case err != nil:
		return err
	case !accepts(answer):
		return &loginError{cause: "STARTTLS answered by " + answer, next: adviceStartTLS}
	}
	encrypted := tls.Client(s.conn, config)
	s.conn = encrypted
	s.Conn = textproto.NewConn(encrypted) // drops what the former one has read ahead, in plain text
	return encrypted.HandshakeContext(ctx)
}

func (s *imapSession) state() tls.ConnectionState { return s.conn.(*tls.Conn).ConnectionState() }

func (s *imapSession) authenticate(username string, password crypto.Secret) error {
	answer, err := s.command("a2", "AUTHENTICATE PLAIN")
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(answer, "+"):
		return &loginError{cause: "AUTHENTICATE PLAIN answered by " + answer, next: adviceService}
	}
	plain := append([]byte("\x00"+username+"\x00"), password.Reveal()...)
	encoded := base64.StdEncoding.AppendEncode(nil, plain)
	defer func() { clear(plain); clear(encoded) }()
	if err := s.PrintfLine("%s", encoded); err != nil {
		return err
	}
	answer, err = s.answer("a2")
	if err != nil || accepts(answer) {
		return err
	}
	return imapFailure(answer)
}

func (s *imapSession) command(tag, words string) (answer string, err error) {
	if err := s.PrintfLine("%s %s", tag, words); err != nil {
		return "", err
	}
	return s.answer(tag)
}

// answer returns what follows the tag, or the line that begins with + and asks for more.
// Other lines are skipped, except for a goodbye.
func (s *imapSession) answer(tag string) (string, error) {
	for {
		line, err := s.ReadLine()
		if err != nil {
			return "", err
		}
		rest, tagged := strings.CutPrefix(line, tag+" ")
		switch {
		case tagged || strings.HasPrefix(line, "+"):
			return rest, nil
		case strings.HasPrefix(strings.ToUpper(line), "* BYE"):
			return "", &loginError{cause: "answered " + line, next: adviceLimited}
		}
	}
}

func accepts(answer string) bool { return strings.HasPrefix(strings.ToUpper(answer), "OK") }

// imapFailure classifies an answer by its code (RFC 5530), or without one by Mailu's words
// ("Temporary authentication failure (rate-limit)").
func imapFailure(answer string) error {
	e := &loginError{cause: "answered " + answer, next: adviceService}
	upper := strings.ToUpper(answer)
	code, _, _ := strings.Cut(strings.TrimPrefix(upper, "NO ["), "]")
	switch {
	case !strings.HasPrefix(upper, "NO"):
	case !strings.HasPrefix(upper, "NO [") && !strings.Contains(upper, "TEMPORARY"),
		code == "AUTHENTICATIONFAILED", code == "AUTHORIZATIONFAILED", code == "EXPIRED":
		e.refused, e.next = true, adviceRefused
	default: // LIMIT, UNAVAILABLE, INUSE and the like
		e.next = adviceLimited
	}
	return e
}

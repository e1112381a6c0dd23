package mailu

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

// broken judges an attempt without a whole answer. The error's text is kept,
// cleaned, but not the error: a server can make net/http quote what it sent.
func (s *Server) broken(parent, ctx context.Context, err error, words wording) verdict {
	switch {
	case parent.Err() != nil:
		return verdict{
			cause: "no answer before the time of this call ran out",
			next:  "the next run goes on from here",
			kinds: []error{parent.Err()},
		}
	case errors.Is(err, errTooLarge):
		return verdict{
			cause: errTooLarge.Error(),
			next:  "see whether api_url is Mailu's API",
		}
	case ctx.Err() != nil:
		return verdict{
			again: true,
			cause: fmt.Sprintf("no answer within %s", s.timeout),
			next:  "see whether Mailu's admin is overloaded, or raise the server's timeout",
		}
	}
	next, again := adviseOn(err)
	return verdict{again: again, cause: words.clean(err.Error()), next: next}
}

// adviseOn says what to do about a network error, and whether trying again
// within seconds can help.
func adviseOn(err error) (next string, again bool) {
	var (
		untrusted   x509.UnknownAuthorityError
		wrongName   x509.HostnameError
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
		record      tls.RecordHeaderError
		dns         *net.DNSError
	)
	switch {
	case errors.As(err, &untrusted):
		return "set ca_file to the root that signed the server's certificate", false
	case errors.As(err, &wrongName):
		return "make the name in origin or api_url one that the server's certificate is for", false
	case errors.As(err, &certificate):
		return "renew or replace the server's certificate", false
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "see whether the port in origin or api_url is the one for TLS", false
	case errors.As(err, &alert):
		return "see whether the server offers TLS 1.2 or later", false
	case errors.As(err, &dns):
		return "see whether the name in origin or api_url is right and resolves on this host", !dns.IsNotFound
	case errors.Is(err, syscall.ECONNREFUSED):
		return "see whether Mailu is up and the port is right", true
	default:
		return "see whether the server and the network to it are up; the next run goes on from here", true
	}
}

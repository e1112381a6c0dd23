// Package netfault classifies why an HTTP request got no answer, as far as the standard
// library's error shows it: the operator's next action depends on that alone. It knows
// neither Vault nor Mailu; they provide the wording.
//
// The kinds are tested against real listeners, because the standard library reports
// many of them only in the text of an error.
package netfault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Kind is a cause.
type Kind int

// The kinds. An uncertain kind is Other.
const (
	Other         Kind = iota
	Untrusted          // the certificate is signed by an unknown authority
	WrongName          // the certificate is for another name
	Expired            // the certificate has expired by this host's clock
	NotYetValid        // the certificate is not valid yet by this host's clock
	Certificate        // the certificate is refused for another reason
	OldTLS             // the server offers no TLS version that we accept
	WantsClient        // the server wants a client certificate, or another one
	Handshake          // the server ended the handshake; in TLS 1.2 also for lack of a client certificate
	NotTLS             // https to a listener that does not speak TLS
	IsTLS              // http to a listener that speaks TLS
	UnknownName        // the name resolves to nothing
	NoNameService      // no name server could be asked
	Refused            // nothing listens there
	Unroutable         // no route to the host
	TimedOut           // no answer in time
	Closed             // the connection ended before an answer
	Proxy              // the proxy of the environment cannot be reached or refuses
)

// Of returns the kind of an error from net/http, or of one that wraps it.
func Of(err error) Kind {
	if kind := ofCertificate(err); kind != Other {
		return kind
	}
	op, isOp := errors.AsType[*net.OpError](err)
	alert, isAlert := errors.AsType[tls.AlertError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case isOp && op.Op == "proxyconnect":
		return Proxy
	case isOp && op.Op == "remote error": // a TLS alert, whose type is not exported
		return ofAlert(op.Err.Error())
	case isAlert: // over QUIC only
		return ofAlert(alert.Error())
	case strings.Contains(err.Error(), "server selected unsupported protocol version"):
		return OldTLS
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return NotTLS
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert in TLS, read as HTTP
		return IsTLS
	case isDNS && dns.IsNotFound:
		return UnknownName
	case isDNS:
		return NoNameService
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unroutable
	case isTimeout && timeout.Timeout():
		return TimedOut
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Closed
	}
	return Other
}

func ofCertificate(err error) Kind {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		// The library has one reason for both; the certificate shows which it is.
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return NotYetValid
		}
		return Expired
	}
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return Untrusted
	case errors.As(err, new(x509.HostnameError)):
		return WrongName
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return Certificate
	}
	return Other
}

// ofAlert uses the alert names in crypto/tls. Several concern a client certificate that
// is missing or not accepted, depending on TLS version and server.
func ofAlert(text string) Kind {
	switch {
	case strings.Contains(text, "protocol version"):
		return OldTLS
	case strings.Contains(text, "certificate"):
		return WantsClient
	}
	return Handshake
}

package mailu

import (
	"context"
	"errors"
	"fmt"

	"mailu-rotator/internal/netfault"
)

// broken judges an attempt without a complete answer. It keeps the error's sanitized
// text, but not the error: a server can make net/http quote what it sent.
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

// adviseOn returns the next action after a network error, and whether a retry within
// seconds can help.
func adviseOn(err error) (next string, again bool) {
	switch netfault.Of(err) {
	case netfault.Untrusted:
		return "set ca_file to the root that signed the server's certificate", false
	case netfault.WrongName:
		return "make the name in origin or api_url one that the server's certificate is for", false
	case netfault.NotYetValid:
		return "compare this host's clock with the server's: its certificate is not valid yet", false
	case netfault.Expired, netfault.Certificate:
		return "renew or replace the server's certificate", false
	case netfault.NotTLS:
		return "see whether the port in origin or api_url is the one for TLS", false
	case netfault.OldTLS:
		return "see whether the server offers TLS 1.2 or later", false
	case netfault.WantsClient, netfault.Handshake:
		return "see whether the server wants a client certificate, which is not sent, and offers TLS 1.2 or later", false
	case netfault.UnknownName:
		return "see whether the name in origin or api_url is right and resolves on this host", false
	case netfault.NoNameService:
		return "see whether the name in origin or api_url is right and resolves on this host", true
	case netfault.Refused:
		return "see whether Mailu is up and the port is right", true
	default:
		return "see whether the server and the network to it are up; the next run goes on from here", true
	}
}

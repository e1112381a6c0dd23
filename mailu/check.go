package mailu

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const (
	// nobody is the user that [Servers.Check] requests: an address that Mailu accepts
	// as valid and that cannot exist (RFC 2606), so that a right token gets a 404.
	nobody       = "nobody@mailu-rotator.invalid"
	checkTimeout = 10 * time.Second    // an operator is waiting
	expirySoon   = 14 * 24 * time.Hour // from which a certificate is reported
)

// Checked is the result for one server.
type Checked struct {
	rotator.Check
	WrongToken bool  // it refused its token
	Unusable   error // why it was not asked
}

// Check sends each server one request, which needs no tenant: does it answer over TLS,
// is the API on, does it accept the token? Mailu counts wrong tokens, and five block
// this network for an hour, so entries with one API host are checked one after the
// other, and after a refusal not at all. The checks are named after the origins, in
// their order.
func (s *Servers) Check(ctx context.Context, origins []rotator.Origin) []Checked {
	checks := make([]Checked, len(origins))
	byHost := map[string][]int{}
	for i, origin := range origins {
		server, err := s.server(origin)
		if err != nil {
			checks[i] = Checked{Check: rotator.Broken(string(origin), err.Error(), ""), Unusable: err}
			continue
		}
		byHost[server.host] = append(byHost[server.host], i)
	}
	var hosts sync.WaitGroup
	for _, entries := range byHost {
		hosts.Go(func() {
			for _, i := range entries {
				checks[i] = s.check(ctx, origins[i])
			}
		})
	}
	hosts.Wait()
	return checks
}

func (s *Servers) check(ctx context.Context, origin rotator.Origin) Checked {
	quick := *s.endpoints[origin]
	quick.config.Timeout = min(quick.config.Timeout, checkTimeout)
	server := &Server{endpoint: &quick, state: s.states[quick.host]}
	c, _ := server.begin("check", rotator.ErrRefused, nobody, crypto.Secret{}) // a valid address
	c.once = true
	_, err := c.do(ctx, http.MethodGet, c.userPath(), nil)
	if errors.Is(err, rotator.ErrUnknownUser) {
		return Checked{Check: accepted(origin, c.last.answer.tls)}
	}
	found, fix := "an answer about a user that cannot exist", "set api_url to Mailu's API, without a cache"
	if f, ok := errors.AsType[*failure](err); ok {
		found, fix = f.cause, f.next
	}
	if c.last.wrongToken {
		found += "; asked once, and Mailu counts it: five wrong tokens block this network for an hour"
	}
	return Checked{Check: rotator.Broken(string(origin), found, fix), WrongToken: c.last.wrongToken}
}

// accepted returns the check of a server that accepted the token. Mailu's API does not
// return its release.
func accepted(origin rotator.Origin, state *tls.ConnectionState) rotator.Check {
	const found = "API on, token accepted"
	if state == nil {
		return rotator.Passed(string(origin), found+", over plain http")
	}
	return encrypted(string(origin), found, *state)
}

// encrypted returns the check of a service that answered over TLS.
func encrypted(name, found string, state tls.ConnectionState) rotator.Check {
	until := state.PeerCertificates[0].NotAfter
	text := fmt.Sprintf("%s, %s, certificate until %s", found, tls.VersionName(state.Version), until.UTC().Format(time.DateOnly))
	if time.Until(until) < expirySoon {
		return rotator.Warned(name, text, "renew the server's certificate")
	}
	return rotator.Passed(name, text)
}

// CheckMail connects to the mail services of each server, without a login.
func (s *Servers) CheckMail(ctx context.Context, origins []rotator.Origin) []rotator.Check {
	var asked []func() rotator.Check
	for _, origin := range origins {
		if server, err := s.server(origin); err == nil {
			for _, service := range server.services {
				asked = append(asked, func() rotator.Check { return server.checkMail(ctx, service) })
			}
		}
	}
	checks := make([]rotator.Check, len(asked))
	var services sync.WaitGroup
	for i, ask := range asked {
		services.Go(func() { checks[i] = ask() })
	}
	services.Wait()
	return checks
}

func (s *Server) checkMail(ctx context.Context, service mailService) rotator.Check {
	name := service.protocol + " " + service.Address()
	ctx, cancel := context.WithTimeout(ctx, min(s.config.Timeout, maxLoginTime))
	defer cancel()
	session, err := s.connect(ctx, service)
	if err != nil {
		f := s.loginFailure(ctx, service, err, s.sanitizer(nobody, crypto.Secret{}))
		return rotator.Broken(name, f.cause, f.next)
	}
	defer session.Close()
	return encrypted(name, "answers, no login was tried", session.state())
}

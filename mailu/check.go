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
	until := state.PeerCertificates[0].NotAfter
	text := fmt.Sprintf("%s, %s, certificate until %s", found, tls.VersionName(state.Version), until.UTC().Format(time.DateOnly))
	if time.Until(until) < expirySoon {
		return rotator.Warned(string(origin), text, "renew the server's certificate")
	}
	return rotator.Passed(string(origin), text)
}

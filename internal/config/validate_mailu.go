package config

import (
	"fmt"
	"time"

	"mailu-rotator/rotator"
)

func (l *loader) validateServers(c *Config) {
	if len(c.Mailu.Servers) == 0 {
		l.report("mailu.servers", "no server listed: give each Mailu server an entry with origin and token_file")
		return
	}
	first := map[rotator.Origin]int{}
	for i := range c.Mailu.Servers {
		server, path := &c.Mailu.Servers[i], fmt.Sprintf("mailu.servers[%d]", i)
		l.validateServer(path, server, c.Rotation.ClaimTTL)
		if other, twice := first[server.Origin]; twice && server.Origin != "" {
			l.report(path+".origin", "%s is mailu.servers[%d] already: one entry an origin", server.Origin, other)
			continue
		}
		first[server.Origin] = i
	}
}

func (l *loader) validateServer(path string, s *Server, claim time.Duration) {
	l.validateOrigin(path, s)
	l.validateAPIURL(path+".api_url", s)
	if s.TokenFile == "" {
		l.reportIn(path, "token_file", "not set: name the file with the server's API token")
	}
	if s.Timeout >= claim && !l.isBroken("rotation.claim_ttl") {
		l.reportIn(path, "timeout", "%s is not shorter than rotation.claim_ttl (%s): a push must end before its claim does", s.Timeout, claim)
	}
}

func (l *loader) validateOrigin(path string, s *Server) {
	if s.Origin == "" {
		l.reportIn(path, "origin", "not set: give scheme and host of the server's webmail, such as https://mail.example.com")
		return
	}
	u, err := parseURL(string(s.Origin))
	if err != nil {
		l.report(path+".origin", "%v", err)
		return
	}
	l.refusePlain(path+".origin", u.Scheme, u.Hostname(), s.AllowHTTP)
}

func (l *loader) validateAPIURL(key string, s *Server) {
	if s.APIURL == "" {
		return // follows from the origin
	}
	u, err := parseURL(s.APIURL)
	if err != nil {
		l.report(key, "%v", err)
		return
	}
	l.refusePlain(key, u.Scheme, u.Hostname(), s.AllowHTTP)
	s.APIURL = u.String()
}

func (l *loader) refusePlain(key, scheme, host string, allowed bool) {
	if scheme == "http" && !allowed && !isLoopback(host) {
		l.report(key, "plain http to %s would show token and passwords to the network: use https, or set allow_http: true if the way there is safe", host)
	}
}

// reportIn reports a key of a list entry, by default at the entry's line.
func (l *loader) reportIn(entry, name, format string, args ...any) {
	key := join(entry, name)
	if _, said := l.at[key]; !said {
		l.at[key] = l.at[entry]
	}
	l.report(key, format, args...)
}

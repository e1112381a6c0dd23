package config

import (
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// unixPrefix marks an address that is a path.
const unixPrefix = "unix:"

// maxSocketPath is one less than what sockaddr_un holds on Linux (unix(7)).
const maxSocketPath = 107

// Endpoint returns the address in the form that net.Listen takes; network is empty if
// the daemon does not listen.
func (l Listen) Endpoint() (network, address string) {
	if path, isSocket := strings.CutPrefix(l.Address, unixPrefix); isSocket {
		return "unix", path
	}
	if l.Address == "" {
		return "", ""
	}
	return "tcp", l.Address
}

func (l *loader) validateListen(c *Listen) {
	network, address := c.Endpoint()
	host, err := checkEndpoint(network, address)
	if err != nil {
		l.report("listen.address", "%v", err)
		return
	}
	if network == "tcp" && !isLoopback(host) && c.TokenFile == "" {
		l.report("listen.address", "%s can be reached from other hosts, and the status page names tenants and users: set listen.token_file, or listen on 127.0.0.1 or unix:/path", c.Address)
	}
}

// checkEndpoint returns the host of a TCP address.
func checkEndpoint(network, address string) (host string, err error) {
	switch {
	case network == "unix" && (!filepath.IsAbs(address) || len(address) > maxSocketPath || strings.ContainsRune(address, 0)):
		return "", errors.New("a socket needs an absolute path of at most 107 bytes, such as unix:/run/mailu-rotator/http.sock")
	case network != "tcp":
		return "", nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("not like 127.0.0.1:9180, [::1]:9180 or unix:/run/mailu-rotator/http.sock")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("the port is not a number from 0 to 65535")
	}
	return host, nil
}

// Package discover stands in for the cloud auto-join of Vault's raft storage, which
// depends on the SDK of every cloud. The test server has no raft storage, so nothing
// here is called; every call returns an error.
package discover

import (
	"errors"
	"log"
)

// Provider finds the addresses of a cluster's members.
type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
	Help() string
}

// Providers is empty: no cloud is compiled in.
var Providers = map[string]Provider{}

// Config is a parsed auto-join string.
type Config map[string]string

// String is never used; Parse returns no Config.
func (Config) String() string { return "" }

// Parse refuses every auto-join string.
func Parse(string) (Config, error) { return nil, errAbsent() }

// Discover finds nothing.
type Discover struct{}

// Option configures a Discover.
type Option func(*Discover) error

// WithProviders is accepted and has no effect.
func WithProviders(map[string]Provider) Option { return func(*Discover) error { return nil } }

// New returns a Discover that finds nothing.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// Addrs refuses every auto-join string.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) { return nil, errAbsent() }

func errAbsent() error {
	return errors.New("auto-join is not compiled into this test server: use a released vault")
}

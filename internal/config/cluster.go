package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"mailu-rotator/internal/peer"
)

// Cluster spreads the work of runs over several hosts. The tag engines has the engines
// that use a field, as the tag methods of [Auth] has the methods.
type Cluster struct {
	// `none`: this process rotates alone. `nats`: it gives the work to
	// [workers](cluster.md) through NATS JetStream.
	Engine Engine `yaml:"engine" oneof:"none,nats"`
	// The servers of one NATS cluster.
	Servers []string `yaml:"servers" engines:"nats!" type:"list of URL" default:"required by nats" range:"tls; nats to loopback only"`
	// Certificate authorities to trust instead of the system's.
	CAFile string `yaml:"ca_file" engines:"nats" default:"the system's" range:"PEM"`
	// A client certificate with its chain. Read at each connection.
	CertFile string `yaml:"cert_file" engines:"nats" default:"none" range:"PEM; with key_file"`
	// Its private key.
	KeyFile string `yaml:"key_file" engines:"nats" default:"none" range:"PEM; with cert_file"`
	// The seed of the nkey to log in with. Read at each connection.
	NKeyFile string `yaml:"nkey_file" engines:"nats" default:"none" range:"one line"`
	// Begins the names of streams and buckets and, in lower case, of subjects. Fleets
	// that share a NATS account need one each.
	Prefix string `yaml:"prefix" engines:"nats" type:"name" range:"1 to 32 letters, digits, - and _"`
	// Servers that keep each stream and bucket. Used when they are created.
	Replicas int `yaml:"replicas" engines:"nats" range:"1 to 5, an odd number"`
	// Tenants that a worker takes at a time, all of one Mailu server.
	Batch int `yaml:"batch" engines:"nats" range:"1 to 200"`
	// How long a batch stays with a worker that is silent. Then another one gets it.
	AckWait time.Duration `yaml:"ack_wait" engines:"nats" range:"5s to 10m, less than rotation.claim_ttl"`
}

// Engine is what carries the work of runs to workers.
type Engine string

// The values of [Cluster.Engine].
const (
	EngineNone Engine = "none" // the process itself
	EngineNATS Engine = "nats"
)

const maxClusterPrefix = 32

func (l *loader) validateCluster(c *Cluster, claim time.Duration) {
	const section = "cluster"
	if l.isBroken(section + ".engine") {
		return
	}
	l.validateUse(section, "engine", string(c.Engine), reflect.ValueOf(*c), reflect.ValueOf(Default().Cluster))
	if c.Engine != EngineNATS {
		return
	}
	for i := range c.Servers {
		l.normalize(fmt.Sprintf("%s.servers[%d]", section, i), &c.Servers[i], parseNATS)
	}
	l.normalize(section+".prefix", &c.Prefix, parsePrefix)
	switch {
	case c.CertFile != "" && c.KeyFile == "":
		l.report(section+".cert_file", "a certificate without its key: set key_file")
	case c.CertFile == "" && c.KeyFile != "":
		l.report(section+".key_file", "a key without its certificate: set cert_file")
	}
	if c.Replicas%2 == 0 {
		l.report(section+".replicas", "%d servers have no more majority than %d: give 1, 3 or 5", c.Replicas, c.Replicas-1)
	}
	if c.AckWait >= claim && !l.isBroken("rotation.claim_ttl") {
		l.reportIn(section, "ack_wait", "%s is not shorter than rotation.claim_ttl (%s): a silent worker would keep a batch for longer than its claims on the tenants", c.AckWait, claim)
	}
}

// parseNATS reads the URL of a NATS server. Its errors do not repeat the URL, which may
// contain a password.
func parseNATS(raw string) (string, error) {
	u, err := parseURLOf(raw, "tls", "nats")
	switch {
	case err != nil:
		return "", err
	case u.Path != "":
		return "", errors.New("a URL with a path: remove what follows the port")
	case u.Scheme == "nats" && !peer.IsLoopback(u.Hostname()):
		return "", fmt.Errorf("plain nats:// to %s lets others on the network answer for the server: use tls:// (nats:// is for loopback)", u.Hostname())
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), nil
}

// parsePrefix reads what the names of streams and buckets, and subjects, begin with.
func parsePrefix(value string) (string, error) {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	if value == "" || len(value) > maxClusterPrefix || strings.ContainsFunc(value, other) {
		return value, fmt.Errorf("%.40q is not 1 to %d letters, digits, - and _", value, maxClusterPrefix)
	}
	return value, nil
}

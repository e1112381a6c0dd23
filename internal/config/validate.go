package config

import (
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/internal/peer"
	"mailu-rotator/rotator"
)

// validate reports every invalid value that decode could not see, and normalizes values
// that have several spellings.
func (l *loader) validate(c *Config) {
	l.validateVault(&c.Vault)
	l.validateAuth(&c.Vault.Auth)
	l.validateServers(c)
	if c.Rotation.Schedule.Off() {
		l.report("rotation.schedule", "empty: nothing would ever be rotated; give five cron fields, such as \"0 3 * * *\"")
	}
	l.validatePassword(&c.Password)
	l.validateListen(&c.Listen)
	l.validateHooks(&c.Hooks)
	l.validateCluster(&c.Cluster, c.Rotation.ClaimTTL)
}

// checkTags checks a value from the file against the oneof and range tags of its field.
// Further checks of a value that does not fit would be useless.
func (l *loader) checkTags(value reflect.Value, tag reflect.StructTag, key string) {
	switch {
	case tag.Get("oneof") != "":
		allowed := strings.Split(tag.Get("oneof"), ",")
		if slices.Contains(allowed, value.String()) {
			return
		}
		hint := ""
		if near := nearest(value.String(), allowed); near != "" {
			hint = fmt.Sprintf("; did you mean %s?", near)
		}
		l.report(key, "%.40q is not one of %s%s", value, strings.Join(allowed, ", "), hint)
	case isNumber(value.Type()):
		r := mustParse(parseRange(tag.Get("range"), value.Type()))
		if n := value.Int(); n >= r.least && n <= r.most {
			return
		}
		l.report(key, "%v is out of range: give %s", value, r.text)
	default:
		return
	}
	l.broken[key] = true
}

func isNumber(t reflect.Type) bool {
	return t.Kind() == reflect.Int || t == reflect.TypeFor[time.Duration]()
}

// numbers is a range of numbers or durations, both ends included.
type numbers struct {
	least, most int64
	text        string
}

// parseRange reads "1 to 256", "0s to less than 24h", "more than 0s", "0s or more" and
// "up to 128". Text after a comma is for people.
func parseRange(tag string, of reflect.Type) (numbers, error) {
	text, _, _ := strings.Cut(tag, ",")
	r := numbers{least: math.MinInt64, most: math.MaxInt64, text: text}
	var err error
	if above, found := strings.CutPrefix(text, "more than "); found {
		r.least, err = parseNumber(above, of)
		r.least++
		return r, err
	}
	if least, found := strings.CutSuffix(text, " or more"); found {
		r.least, err = parseNumber(least, of)
		return r, err
	}
	least, most, found := strings.Cut(text, " to ")
	if least != "up" && found {
		if r.least, err = parseNumber(least, of); err != nil {
			return r, err
		}
	}
	below, excluded := strings.CutPrefix(most, "less than ")
	r.most, err = parseNumber(below, of)
	if excluded {
		r.most--
	}
	return r, err
}

func parseNumber(text string, of reflect.Type) (int64, error) {
	if of == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (l *loader) validateVault(v *Vault) {
	l.validateAddress(v)
	l.normalize("vault.namespace", &v.Namespace, parseFolder)
	l.normalize("vault.mount", &v.Mount, parsePath)
	l.normalize("vault.prefix", &v.Prefix, parsePath)
	l.normalize("vault.leaf", &v.Leaf, parseName)
	l.normalize("vault.transit.mount", &v.Transit.Mount, parsePath)
	l.normalize("vault.transit.key", &v.Transit.Key, parseName)
	if v.Mount != "" && v.Mount == v.Transit.Mount {
		l.report("vault.transit.mount", "%q is vault.mount as well: the KV and the Transit engine have a mount each", v.Mount)
	}
}

// normalize reports a malformed value, and replaces one by its normal form.
func (l *loader) normalize(key string, value *string, parse func(string) (string, error)) {
	normal, err := parse(*value)
	if err != nil {
		l.report(key, "%v", err)
	}
	*value = normal
}

func (l *loader) validateAddress(v *Vault) {
	const key = "vault.address"
	if v.Address == "" {
		l.report(key, "not set: give Vault's URL here or in VAULT_ADDR, such as https://vault.example.com:8200")
		return
	}
	u, err := parseAddress(v.Address)
	switch {
	case err != nil:
		l.report(key, "%v", err)
		return
	case u.Scheme == "http" && !peer.IsLoopback(u.Hostname()):
		l.report(key, "plain http to %s would show the token and the master key to the network: use https (http is for loopback)", u.Hostname())
	case u.Scheme == "http" && v.Auth.Method == AuthCert:
		l.report(key, "method cert logs in with a TLS certificate: use https")
	}
	v.Address = u.String()
	l.validateOtherAddresses(v, u)
}

func (l *loader) validateOtherAddresses(v *Vault, first *url.URL) {
	seen := map[string]bool{first.Host: true}
	for i, raw := range v.OtherAddresses {
		key := fmt.Sprintf("vault.other_addresses[%d]", i)
		u, err := parseAddress(raw)
		switch {
		case err != nil:
			l.report(key, "%v", err)
			continue
		case u.Scheme != first.Scheme || u.Path != first.Path:
			l.report(key, "differs from vault.address in more than host and port: the nodes of a cluster are asked in the same way")
		case u.Scheme == "http" && !peer.IsLoopback(u.Hostname()):
			l.report(key, "plain http to %s would show the token and the master key to the network: use https (http is for loopback)", u.Hostname())
		case seen[u.Host]:
			l.report(key, "%s is listed already", u.Host)
		}
		seen[u.Host] = true
		v.OtherAddresses[i] = u.String()
	}
}

func (l *loader) validateAuth(a *Auth) {
	const section = "vault.auth"
	if l.isBroken(section + ".method") {
		return // what the other fields need depends on it
	}
	l.validateUse(section, "method", string(a.Method), reflect.ValueOf(*a), reflect.Zero(reflect.TypeFor[Auth]()))
	if a.Method == AuthToken && a.Token.Empty() {
		l.report(section+".method", "method token takes the token from VAULT_TOKEN, which is not set: set it or choose another method")
	}
	l.normalize("vault.auth.mount", &a.Mount, parseFolder)
	if rest, found := strings.CutPrefix(a.Mount, "auth/"); found {
		l.report("vault.auth.mount", "leave \"auth/\" out: write %s", rest)
	}
	if a.Role != "" {
		l.normalize("vault.auth.role", &a.Role, parseName)
	}
}

// validateUse reports keys of a section that its chosen method or engine requires, and
// keys that it does not use, by the tag methods or engines. unset has the values of keys
// that are not set.
func (l *loader) validateUse(section, choice, chosen string, value, unset reflect.Value) {
	for name, i := range keys(value.Type()) {
		tag := value.Type().Field(i).Tag.Get(choice + "s")
		users, set := strings.Split(tag, ","), !reflect.DeepEqual(value.Field(i).Interface(), unset.Field(i).Interface())
		required := slices.Contains(users, chosen+"!")
		switch {
		case required && !set:
			l.reportIn(section, name, "not set: %s %s needs it", choice, chosen)
		case tag != "" && set && !required && !slices.Contains(users, chosen):
			others := strings.NewReplacer("!", "", ",", " or ").Replace(tag)
			l.report(join(section, name), "%s %s does not use it, %s does: remove it or change %s.%s", choice, chosen, others, section, choice)
		}
	}
}

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
	if s.Origin == "" {
		l.reportIn(path, "origin", "not set: give scheme and host of the server's webmail, such as https://mail.example.com")
	}
	l.validateServerURL(path+".origin", string(s.Origin), s.AllowHTTP)
	s.APIURL = l.validateServerURL(path+".api_url", s.APIURL, s.AllowHTTP)
	for name, service := range map[string]string{"smtp": s.Login.SMTP, "imap": s.Login.IMAP} {
		if _, err := peer.ParseMailService(service); service != "" && err != nil {
			l.report(path+".login."+name, "%v", err)
		}
	}
	if s.Login != (Login{}) && s.Verify == VerifyNone {
		l.report(path+".login", "verify is none, and only a password that the hash has proven is tried: set verify to hash, or remove login")
	}
	if s.TokenFile == "" {
		l.reportIn(path, "token_file", "not set: name the file with the server's API token")
	}
	if s.Timeout >= claim && !l.isBroken("rotation.claim_ttl") {
		l.reportIn(path, "timeout", "%s is not shorter than rotation.claim_ttl (%s): a push must end before its claim does", s.Timeout, claim)
	}
}

// validateServerURL returns the URL's normal form.
func (l *loader) validateServerURL(key, raw string, allowHTTP bool) string {
	if raw == "" {
		return "" // api_url follows from the origin then
	}
	u, err := parseURL(raw)
	if err != nil {
		l.report(key, "%v", err)
		return raw
	}
	if u.Scheme == "http" && !allowHTTP && !peer.IsLoopback(u.Hostname()) {
		l.report(key, "plain http to %s would show token and passwords to the network: use https, or set allow_http: true if the way there is safe", u.Hostname())
	}
	return u.String()
}

// reportIn reports a key of a list entry, by default at the entry's line.
func (l *loader) reportIn(entry, name, format string, args ...any) {
	key := join(entry, name)
	if _, said := l.at[key]; !said {
		l.at[key] = l.at[entry]
	}
	l.report(key, format, args...)
}

// validatePassword reports an error about the recipe as a whole at the section, because
// no single key is to blame.
func (l *loader) validatePassword(p *Password) {
	for name := range l.broken {
		if strings.HasPrefix(name, "password.") {
			return // the recipe holds defaults, not the file's values
		}
	}
	if _, err := crypto.NewGenerator(p.Recipe()); err != nil {
		l.report("password", "%v", err)
	}
}

func (l *loader) validateListen(c *Listen) {
	network, address := c.Endpoint()
	host, err := checkEndpoint(network, address)
	switch {
	case err != nil:
		l.report("listen.address", "%v", err)
	case network == "tcp" && !peer.IsLoopback(host) && c.TokenFile == "":
		l.report("listen.address", "%s can be reached from other hosts, and the status page names tenants and users: set listen.token_file, or listen on 127.0.0.1 or unix:/path", c.Address)
	}
}

func (l *loader) validateHooks(h *Hooks) {
	for _, p := range h.programs() {
		for i, word := range p.Command {
			if strings.IndexByte(word, 0) >= 0 {
				l.report(fmt.Sprintf("%s[%d]", p.key, i), "a program cannot be given a zero byte")
			}
		}
		if len(p.Command) > 0 && !filepath.IsAbs(p.Command[0]) {
			l.report(p.key+"[0]", "%.40q is not an absolute path: write the program's, and its arguments as further entries; there is no shell", p.Command[0])
			l.broken[p.key] = true
		}
	}
}

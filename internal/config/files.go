package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"mailu-rotator/crypto"
)

const keyOfCAFile = "vault.ca_file"

// file is a file that the configuration names.
type file struct {
	key   string
	path  *string
	check func(path string) error
}

// files lists all of them, including the unset ones.
func (c *Config) files() []file { return append(c.read(), c.Hooks.files()...) }

// read lists the files that this program itself reads.
func (c *Config) read() []file {
	all := append([]file{{keyOfCAFile, &c.Vault.CAFile, checkCertificates}}, c.Vault.Auth.files()...)
	all = append(all,
		file{"listen.token_file", &c.Listen.TokenFile, checkWith(ReadSecret)},
		file{"cluster.ca_file", &c.Cluster.CAFile, checkCertificates},
		file{"cluster.cert_file", &c.Cluster.CertFile, checkCertificates},
		file{"cluster.key_file", &c.Cluster.KeyFile, checkPrivate},
		file{"cluster.nkey_file", &c.Cluster.NKeyFile, checkWith(ReadSecret)},
	)
	for i := range c.Mailu.Servers {
		server, path := &c.Mailu.Servers[i], fmt.Sprintf("mailu.servers[%d]", i)
		all = append(all,
			file{path + ".token_file", &server.TokenFile, checkWith(ReadSecret)},
			file{path + ".ca_file", &server.CAFile, checkCertificates},
		)
	}
	return all
}

func (a *Auth) files() []file {
	return []file{
		{"vault.auth.token_file", &a.TokenFile, checkWith(ReadSecret)},
		{"vault.auth.role_id_file", &a.RoleIDFile, checkWith(ReadSecret)},
		{"vault.auth.secret_id_file", &a.SecretIDFile, checkWith(ReadSecret)},
		{"vault.auth.jwt_file", &a.JWTFile, checkWith(ReadServiceAccountToken)},
		{"vault.auth.cert_file", &a.CertFile, checkCertificates},
		{"vault.auth.key_file", &a.KeyFile, checkPrivate},
	}
}

// CheckFiles opens every file that the configuration names, except the programs of
// hooks, checks its permissions and its content, and returns all errors. It proves
// nothing about a later moment: an agent may replace a file at any time.
func (c *Config) CheckFiles() []error {
	errs := c.check(c.read())
	if len(errs) > 0 {
		return errs // one per file, more specific than those below
	}
	for _, pair := range []struct{ section, cert, key string }{
		{"vault.auth", c.Vault.Auth.CertFile, c.Vault.Auth.KeyFile},
		{"cluster", c.Cluster.CertFile, c.Cluster.KeyFile},
	} {
		if pair.cert == "" {
			continue
		}
		if err := checkPair(pair.cert, pair.key); err != nil {
			errs = append(errs, fmt.Errorf("%s.key_file: %w", pair.section, err))
		}
	}
	return errs
}

// CheckLoginFiles is [Config.CheckFiles] for the files of the login alone.
func (c *Config) CheckLoginFiles() []error { return c.check(c.Vault.Auth.files()) }

// CheckHooks returns all errors of the hooks' programs. They stop no run: only the hook
// itself is skipped, see [CheckProgram].
func (c *Config) CheckHooks() []error { return c.check(c.Hooks.files()) }

func (c *Config) check(files []file) (errs []error) {
	for _, file := range files {
		if *file.path == "" {
			continue
		}
		if err := file.check(*file.path); err != nil {
			source := file.key
			if source == keyOfCAFile && c.Vault.CAFileFrom != "" {
				source += " (from " + c.Vault.CAFileFrom + ")"
			}
			errs = append(errs, fmt.Errorf("%s: %w", source, err))
		}
	}
	return errs
}

func checkWith(read func(string) (crypto.Secret, error)) func(string) error {
	return func(path string) error {
		secret, err := read(path)
		secret.Wipe()
		return err
	}
}

func checkCertificates(path string) error {
	data, err := readFile(path, publicFile())
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no PEM certificate", path)
	}
	return nil
}

func checkPrivate(path string) error {
	data, err := readFile(path, ownersSecret())
	clear(data)
	return err
}

func checkPair(certFile, keyFile string) error {
	cert, err := readFile(certFile, publicFile())
	if err != nil {
		return err
	}
	key, err := readFile(keyFile, ownersSecret())
	if err != nil {
		return err
	}
	defer clear(key)
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s and %s are not a pair: %w", keyFile, certFile, err)
	}
	return nil
}

// program is a command and its key.
type program struct {
	key string
	Command
}

// programs are the hooks, including the unset ones.
func (h *Hooks) programs() []program {
	return []program{
		{"hooks.after_rotation", h.AfterRotation},
		{"hooks.on_failure", h.OnFailure},
		{"hooks.after_run", h.AfterRun},
	}
}

// files are the hooks' programs: anyone who can write one of them can do what this
// program may.
func (h *Hooks) files() (all []file) {
	for _, p := range h.programs() {
		if len(p.Command) > 0 {
			all = append(all, file{p.key, &p.Command[0], CheckProgram})
		}
	}
	return all
}

// CheckProgram returns a [FileError] if a program cannot or must not be run. It does
// not open the file: a program need not be readable.
func CheckProgram(path string) error {
	fix := "chmod 755 " + path
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fix = "put the program there, then: " + fix
	case err != nil:
		fix = "see that its path can be read by this user"
	case !info.Mode().IsRegular():
		err, fix = fmt.Errorf("%s is not a regular file", path), "give the hook the path of a program"
	default:
		err = fileRule{forbidden: 0o022, chmod: "755"}.check(path, info)
		if err == nil && unix.Access(path, unix.X_OK) != nil {
			err = fmt.Errorf("%s cannot be executed (mode %04o): %s, and see that its file system is not mounted noexec", path, info.Mode().Perm(), fix)
		}
	}
	if err != nil {
		return &FileError{Err: err, Fix: fix}
	}
	return nil
}

// credentialsDirectory is the variable in which systemd passes the directory of
// LoadCredential=.
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// resolvePaths makes every path absolute.
func (l *loader) resolvePaths(c *Config) {
	for _, file := range c.files() {
		if *file.path != "" {
			l.normalize(file.key, file.path, func(path string) (string, error) { return l.resolve(file.key, path) })
		}
	}
}

func (l *loader) resolve(key, path string) (string, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return "", errors.New("a path cannot hold a zero byte")
	}
	if looksLikeToken(path) {
		return "", errors.New("this is a token, not a path: put it in a file (chmod 600), name that here, and revoke the token if anybody has seen this file")
	}
	if looksLikeSeed(path) {
		return "", errors.New("this is the seed of an nkey, not a path: put it in a file (chmod 600), name that here, and use another nkey if anybody has seen this file")
	}
	if l.from[key] != "" {
		// Like Vault's own tools: relative to the working directory.
		return filepath.Abs(path)
	}
	first, rest, _ := strings.Cut(path, "/")
	switch {
	case first == "$"+credentialsDirectory && rest != "":
		dir := l.env(credentialsDirectory)
		if dir == "" {
			// By hand: where the credentials of the service are kept, for those who may read them.
			dir = filepath.Join(l.dir, "credentials")
			if unix.Access(dir, unix.X_OK) != nil {
				return "", fmt.Errorf("%s is not set, and %s cannot be read: the variable is set when systemd starts the program with LoadCredential=; set it by hand otherwise, or use root", credentialsDirectory, dir)
			}
		}
		return filepath.Join(dir, rest), nil
	case strings.HasPrefix(first, "$"), strings.HasPrefix(first, "~"):
		return "", fmt.Errorf("%.40q is not expanded: only $%s/name is; write the path out", first, credentialsDirectory)
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	}
	return filepath.Join(l.dir, path), nil
}

// looksLikeToken recognizes Vault tokens (service, batch, recovery), which people paste
// where a path belongs; the error message must not repeat them.
func looksLikeToken(path string) bool {
	return !strings.Contains(path, "/") &&
		slices.ContainsFunc([]string{"hvs.", "hvb.", "hvr."}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// looksLikeSeed recognizes the seed of a user's nkey: 58 characters of base32.
func looksLikeSeed(path string) bool {
	return len(path) == 58 && strings.HasPrefix(path, "SU") &&
		!strings.ContainsFunc(path, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') })
}

package logins

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/authority"
	"mailu-rotator/test/child"
)

// patience is for a loaded machine.
const patience = time.Minute

// world is a Mailu with a real Dovecot and a real Postfix for its users.
type world struct {
	Mailu *mailutest.Server
	Auth  string // URL that decides about logins
	Dir   string // that their users can enter
	Test  string // this program

	// Addresses, host:port. The first two begin with TLS, the next two offer STARTTLS, and
	// the last two have a certificate that has expired.
	IMAPS, SMTPS, IMAP, SMTP, IMAPExpired, SMTPExpired string
	SMTPPlain                                          string // without TLS

	CA                                         *authority.Authority
	Cert, Key, ExpiredCert, ExpiredKey, Socket string

	dovecot *child.Server
}

// newWorld starts the servers with a Mailu of this configuration.
func newWorld(t *testing.T, config mailutest.Config) *world {
	t.Helper()
	tools(t)
	config.Rounds = max(config.Rounds, 4)
	dir, err := os.MkdirTemp("", "logins")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) // the servers' users enter it
	w := &world{Mailu: mailutest.Run(t, config), Dir: dir, Socket: filepath.Join(dir, "auth")}
	w.Auth, err = w.Mailu.AddMailAuth()
	must(t, err)
	w.Test, err = os.Executable()
	must(t, err)
	// Dovecot's user may not enter the directory of the test's binary.
	binary, err := os.ReadFile(w.Test)
	must(t, err)
	w.Test = filepath.Join(dir, "logins.test")
	must(t, os.WriteFile(w.Test, binary, 0o755))
	w.certify(t)
	for _, address := range []*string{&w.IMAPS, &w.SMTPS, &w.IMAP, &w.SMTP, &w.IMAPExpired, &w.SMTPExpired, &w.SMTPPlain} {
		*address, err = child.FreePort()
		must(t, err)
	}
	w.IMAPExpired = strings.Replace(w.IMAPExpired, "127.0.0.1", "127.0.0.2", 1) // by which Dovecot tells certificates apart
	w.startDovecot(t)
	w.startPostfix(t)
	return w
}

// tools installs the servers where that can be done.
func tools(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Postfix and Dovecot start only as root: run this test as root, or leave it out (make test does)")
	}
	if out, err := exec.Command("../../scripts/tools.sh", "mail-servers").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (w *world) certify(t *testing.T) {
	t.Helper()
	var err error
	w.CA, err = authority.New(w.Dir, "logins")
	must(t, err)
	w.Cert, w.Key, err = w.CA.Server()
	must(t, err)
	w.ExpiredCert, w.ExpiredKey, err = w.CA.Expired()
	must(t, err)
}

const dovecotConfig = `
protocols = imap
listen = 127.0.0.1
base_dir = {{.Dir}}/dovecot
state_dir = {{.Dir}}/dovecot-state
log_path = /dev/stderr
auth_failure_delay = 0 secs
auth_cache_size = 0
# Go reserves more addresses than the usual limit.
default_vsz_limit = 0
mail_location = maildir:~/Maildir
first_valid_uid = 1
ssl = required
ssl_cert = <{{.Cert}}
ssl_key = <{{.Key}}
auth_mechanisms = plain
passdb {
  driver = checkpassword
  args = {{.Test}} checkpassword {{.Auth}}
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home={{.Dir}}/mail/%u
}
service imap-login {
  inet_listener imap {
    port = {{port .IMAP}}
  }
  inet_listener imaps {
    port = {{port .IMAPS}}
    ssl = yes
  }
  inet_listener imaps-expired {
    address = 127.0.0.2
    port = {{port .IMAPExpired}}
    ssl = yes
  }
}
local 127.0.0.2 {
  ssl_cert = <{{.ExpiredCert}}
  ssl_key = <{{.ExpiredKey}}
}
# It would delay the answers after refused logins.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener {{.Socket}} {
    mode = 0666
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
`

const postfixMain = `
compatibility_level = 3.6
queue_directory = {{.Dir}}/postfix/spool
data_directory = {{.Dir}}/postfix/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
inet_interfaces = loopback-only
inet_protocols = ipv4
maillog_file = {{.Dir}}/postfix/log
maillog_file_prefixes = {{.Dir}}
local_recipient_maps =
alias_maps =
smtpd_tls_cert_file = {{.Cert}}
smtpd_tls_key_file = {{.Key}}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {{.Socket}}
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
`

const postfixMaster = `
{{.SMTPS}} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
{{.SMTP}} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
{{.SMTPPlain}} inet n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_tls_auth_only=no
{{.SMTPExpired}} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_cert_file={{.ExpiredCert}} -o smtpd_tls_key_file={{.ExpiredKey}}
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
`

func (w *world) startDovecot(t *testing.T) {
	t.Helper()
	mail := filepath.Join(w.Dir, "mail")
	must(t, os.MkdirAll(mail, 0o755))
	must(t, os.Chmod(mail, 0o777)) // of nobody, for this test
	config := w.write(t, "dovecot.conf", dovecotConfig)
	w.dovecot = serveDovecot(t, config)
	w.await(t, w.IMAPS)
}

// startPostfix starts its first process without the command postfix, which would make it a
// daemon that outlives this test.
func (w *world) startPostfix(t *testing.T) {
	t.Helper()
	account, err := user.Lookup("postfix")
	must(t, err)
	id, err := strconv.Atoi(account.Uid)
	must(t, err)
	for _, dir := range []string{"spool/pid", "data", "spool/private", "spool/public"} {
		path := filepath.Join(w.Dir, "postfix", dir)
		must(t, os.MkdirAll(path, 0o755))
		if dir != "spool/pid" {
			must(t, os.Chown(path, id, -1))
		}
	}
	config := filepath.Dir(w.write(t, "postfix/main.cf", postfixMain))
	w.write(t, "postfix/master.cf", postfixMaster)
	cmd := exec.Command("/usr/lib/postfix/sbin/master", "-d", "-c", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	exited, err := child.Start(cmd)
	must(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(w.Dir, "postfix", "log"))
			t.Logf("postfix:\n%s", log)
		}
	})
	w.await(t, w.SMTPS)
}

// serveDovecot runs it until the end of the test.
func serveDovecot(t *testing.T, config string) *child.Server {
	t.Helper()
	var log bytes.Buffer
	server, err := child.Serve(t.Context(), &log, "dovecot", []string{"-F", "-c", config}, "starting up for imap")
	must(t, err)
	t.Cleanup(func() {
		server.Stop(patience)
		if t.Failed() {
			t.Logf("dovecot:\n%s", log.String())
		}
	})
	return server
}

// write fills in a template.
func (w *world) write(t *testing.T, name, text string) (path string) {
	t.Helper()
	port := func(address string) (string, error) {
		_, port, err := net.SplitHostPort(address)
		return port, err
	}
	var b strings.Builder
	must(t, template.Must(template.New(name).Funcs(template.FuncMap{"port": port}).Parse(text)).Execute(&b, w))
	path = filepath.Join(w.Dir, name)
	must(t, os.WriteFile(path, []byte(b.String()), 0o644))
	return path
}

// await returns when something listens.
func (w *world) await(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

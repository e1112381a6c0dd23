//go:build podman

package containers

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/test/vaultread"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

const (
	tenant = "00000000-c047-4000-8000-000000000000"
	admin  = "admin@example.com"
	first  = "First password of the tenant"
)

// deployment is the Compose file with a Vault and a Mailu on this host.
type deployment struct {
	service types.ServiceConfig
	secrets types.Secrets
	vault   *vaulttest.Server
	client  *api.Client
	mailu   *mailutest.Server
	keys    *crypto.Keyring
	dir     string // compose.yaml's, with config.yaml and credentials/
	port    int    // of the listener
}

func TestTheComposeServiceRotatesChecksAndStops(t *testing.T) {
	d := deploy(t)

	d.mustRun(t, "--run-now")
	d.mustRun(t, "doctor") // before, its tenant is overdue

	fields, _, err := d.vault.Get(t.Context(), vaulttest.DefaultLayout().Path(tenant))
	must(t, err)
	password, err := vaultread.Open(d.keys, tenant, fields)
	must(t, err)
	defer password.Wipe()
	if d.mailu.Accepts(admin, first) || !d.mailu.Accepts(admin, password.RevealString()) {
		t.Error("Mailu does not have the password that Vault has")
	}

	stop := d.start(t)
	awaitHealthy(t, d.port)
	stop()
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	project := compose(t)
	d := &deployment{
		service: project.Services["mailu-rotator"], secrets: project.Secrets, dir: t.TempDir(), port: freePort(t),
		vault: vaulttest.Run(t, vaulttest.Options{Binary: os.Getenv("MAILU_ROTATOR_VAULT")}),
		mailu: mailutest.Run(t, mailutest.Config{Token: "api-token-of-the-container-test"}),
	}
	layout := vaulttest.DefaultLayout()
	must(t, d.vault.Provision(t.Context(), layout))
	policy, err := vault.Policy(vault.Config{
		Address: d.vault.Addr, Mount: layout.Mount, Prefix: layout.Prefix, Leaf: layout.Leaf,
		Transit: vault.Transit{Mount: layout.TransitMount, Key: layout.TransitKey},
	})
	must(t, err)
	must(t, d.vault.WritePolicy(t.Context(), "mailu-rotator", policy))
	d.client, err = d.vault.Client()
	must(t, err)
	keys, err := vaultread.MasterKeys(t.Context(), d.client, layout.TransitMount, layout.TransitKey)
	must(t, err)
	d.keys, err = crypto.NewKeyring(keys)
	must(t, err)
	d.seed(t)
	d.configure(t)
	return d
}

// seed creates a tenant whose password is a year old.
func (d *deployment) seed(t *testing.T) {
	t.Helper()
	born := time.Now().UTC().AddDate(-1, 0, 0).Format(time.RFC3339)
	key := d.keys.Newest()
	sealed, err := crypto.Seal(key, crypto.Binding{TenantID: tenant, LastRotated: born}, crypto.SecretFromString(first))
	must(t, err)
	d.mailu.AddUser(admin, first)
	must(t, d.vault.Put(t.Context(), vaulttest.DefaultLayout().Path(tenant), map[string]any{
		"username": admin, "webmail_url": d.mailu.Origin() + "/webmail", "password": sealed,
		"created_at": born, "last_rotated": born, "key_version": key.Version,
	}))
}

// configure writes config.yaml and the credentials beside it as docs/containers.md says.
func (d *deployment) configure(t *testing.T) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(composeDir, "config.yaml"))
	must(t, err)
	text := string(config)
	for old, now := range map[string]string{
		"https://vault.example.com:8200": d.vault.Addr,
		"https://mail.example.com\n":     d.mailu.Origin() + "\n",
		`":9180"`:                        fmt.Sprintf("127.0.0.1:%d", d.port),
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("config.yaml has no %s", old)
		}
		text = strings.Replace(text, old, now, 1)
	}
	must(t, os.WriteFile(filepath.Join(d.dir, "config.yaml"), []byte(text), 0o644))
	must(t, os.Mkdir(filepath.Join(d.dir, "credentials"), 0o700))
	role, secret := d.appRole(t)
	for name, value := range map[string]string{
		"role-id": role, "secret-id": secret, "mail.example.com.token": d.mailu.Token(), "listen.token": "token-of-the-listener",
	} {
		file := filepath.Join(d.dir, "credentials", name)
		must(t, os.WriteFile(file, []byte(value), 0o400))
		must(t, os.Chown(file, user, user))
	}
}

func (d *deployment) appRole(t *testing.T) (roleID, secretID string) {
	t.Helper()
	const role = "auth/approle/role/mailu-rotator"
	must(t, d.client.Sys().EnableAuthWithOptionsWithContext(t.Context(), "approle", &api.EnableAuthOptions{Type: "approle"}))
	_, err := d.client.Logical().WriteWithContext(t.Context(), role, map[string]any{"token_policies": "mailu-rotator", "token_ttl": "1h"})
	must(t, err)
	id, err := d.client.Logical().ReadWithContext(t.Context(), role+"/role-id")
	must(t, err)
	secret, err := d.client.Logical().WriteWithContext(t.Context(), role+"/secret-id", nil)
	must(t, err)
	return id.Data["role_id"].(string), secret.Data["secret_id"].(string)
}

// command runs the service's container as Compose would, but on the host's network,
// where Vault and Mailu are.
func (d *deployment) command(t *testing.T, options []string, args ...string) *exec.Cmd {
	t.Helper()
	s := d.service
	call := append([]string{"run", "--rm", "--network=host", "--user=" + s.User, fmt.Sprintf("--read-only=%t", s.ReadOnly),
		"--memory=" + strconv.FormatInt(int64(s.MemLimit), 10), "--ulimit=core=0:0",
		"--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"}, options...) // the engine's own exceed what a confined root may set
	for _, capability := range s.CapDrop {
		call = append(call, "--cap-drop="+capability)
	}
	for _, option := range s.SecurityOpt {
		call = append(call, "--security-opt="+option)
	}
	for name, value := range s.Environment {
		call = append(call, "--env="+name+"="+*value)
	}
	for _, volume := range s.Volumes {
		call = append(call, "--volume="+filepath.Join(d.dir, filepath.Base(volume.Source))+":"+volume.Target+":ro")
	}
	for _, secret := range s.Secrets {
		call = append(call, "--volume="+filepath.Join(d.dir, "credentials", filepath.Base(d.secrets[secret.Source].File))+":/run/secrets/"+secret.Source+":ro")
	}
	call = append(append(call, s.Image), args...)
	engine := strings.Fields(os.Getenv("MAILU_ROTATOR_PODMAN"))
	return exec.Command(engine[0], append(engine[1:], call...)...)
}

func (d *deployment) mustRun(t *testing.T, args ...string) {
	t.Helper()
	if output, err := d.command(t, nil, args...).CombinedOutput(); err != nil {
		t.Fatalf("mailu-rotator %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// start starts the daemon. stop ends it as Compose does, and expects that it ends by
// itself.
func (d *deployment) start(t *testing.T) (stop func()) {
	t.Helper()
	var output strings.Builder
	cmd := d.command(t, []string{"--name=daemon"})
	cmd.Stdout, cmd.Stderr = &output, &output
	must(t, cmd.Start())
	return func() {
		engine := strings.Fields(os.Getenv("MAILU_ROTATOR_PODMAN"))
		seconds := strconv.Itoa(int(time.Duration(*d.service.StopGracePeriod).Seconds()))
		if said, err := exec.Command(engine[0], append(engine[1:], "stop", "--time="+seconds, "daemon")...).CombinedOutput(); err != nil {
			t.Errorf("stop: %v\n%s", err, said)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the daemon: %v\n%s", err, output.String())
		}
	}
}

func awaitHealthy(t *testing.T, port int) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d", answer.StatusCode)
		}
		last = err
	}
	t.Fatalf("the daemon is not ready: %v", last)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

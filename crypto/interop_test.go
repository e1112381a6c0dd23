package crypto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
)

// nodeJob is one line of input for testdata/open.mjs.
type nodeJob struct {
	MasterKey   string          `json:"master_key_hex"`
	TenantID    string          `json:"tenant_id"`
	LastRotated string          `json:"last_rotated"`
	Sealed      *SealedPassword `json:"sealed,omitempty"`
	Password    *string         `json:"password,omitempty"`
}

func newNodeJob(b Binding) nodeJob {
	return nodeJob{MasterKey: hex.EncodeToString(filled(7)), TenantID: b.TenantID, LastRotated: b.LastRotated}
}

// interop returns bindings and passwords for which implementations could differ.
func interop(t *testing.T) (bindings []Binding, passwords []string) {
	t.Helper()
	generator, err := NewGenerator(DefaultRecipe())
	mustSucceed(t, err)
	random, err := generator.Generate()
	mustSucceed(t, err)
	passwords = []string{random.RevealString(), "", "pässwörd-密码-🔐", "\"quotes\\ and\nlines\u2028\""}
	for i := range passwords {
		bindings = append(bindings, Binding{TenantID: here.TenantID, LastRotated: fmt.Sprintf("2026-11-23T10:00:0%d.123Z", i)})
	}
	bindings[1].LastRotated = ""
	bindings[2].LastRotated = "2026-11-23T10:00:00+02:00"
	return bindings, passwords
}

func TestNodeOpensWhatWeSeal(t *testing.T) {
	key := keyringOf(t, map[KeyVersion][]byte{1: filled(7)}).Newest()
	bindings, passwords := interop(t)
	jobs := make([]nodeJob, len(passwords))
	for i, password := range passwords {
		sealed, err := Seal(key, bindings[i], SecretFromString(password))
		mustSucceed(t, err)
		jobs[i] = newNodeJob(bindings[i])
		jobs[i].Sealed = &sealed
	}

	opened := node(t, jobs)

	for i, password := range passwords {
		if opened[i] == nil || *opened[i] != password {
			t.Errorf("%q opens to %v in Node", password, opened[i])
		}
	}
}

func TestNodeRefusesWhatIsSealedForAnother(t *testing.T) {
	sealed, err := Seal(keyringOf(t, map[KeyVersion][]byte{1: filled(7)}).Newest(), here, SecretFromString("password"))
	mustSucceed(t, err)
	job := newNodeJob(Binding{TenantID: here.TenantID, LastRotated: here.LastRotated + " "})
	job.Sealed = &sealed

	opened := node(t, []nodeJob{job})

	if opened[0] != nil {
		t.Errorf("Node opened it: %q", *opened[0])
	}
}

func TestWeOpenWhatNodeSeals(t *testing.T) {
	ring := keyringOf(t, map[KeyVersion][]byte{1: filled(7)})
	bindings, passwords := interop(t)
	jobs := make([]nodeJob, len(passwords))
	for i := range passwords {
		jobs[i] = newNodeJob(bindings[i])
		jobs[i].Password = &passwords[i]
	}

	sealed := node(t, jobs)

	for i, password := range passwords {
		opened, err := ring.Open(1, bindings[i], SealedPassword(*sealed[i]))
		mustSucceed(t, err)
		if opened.RevealString() != password {
			t.Errorf("%q opens to %q", password, opened.RevealString())
		}
	}
}

// node has the second implementation do the jobs; nil means that it refused.
func node(t *testing.T, jobs []nodeJob) []*string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("there is no node on PATH, and the format is proven by a second implementation: run scripts/tools.sh node, which `make test` does first")
	}
	var stdin, stderr bytes.Buffer
	for _, job := range jobs {
		mustSucceed(t, json.NewEncoder(&stdin).Encode(job))
	}
	command := exec.CommandContext(t.Context(), path, "testdata/open.mjs")
	command.Stdin, command.Stderr = &stdin, &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	answers := make([]*string, len(jobs))
	decoder := json.NewDecoder(bytes.NewReader(out))
	for i := range answers {
		mustSucceed(t, decoder.Decode(&answers[i]))
	}
	return answers
}

// Package manyvault simulates a Vault with any number of tenants, for measurements
// larger than a real Vault can be filled for: it stores nothing, generates every record
// on request, and streams the list.
//
// It answers only the requests of a sweep in which nothing is due: token lookup, mount,
// clock, master key, one list, and the reads. It accepts every token and no write.
// Answers have the form and the size of those of Vault 1.21.
package manyvault

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fleet describes the tenants.
type Fleet struct {
	Tenants int
	Origin  string    // of all tenants
	Rotated time.Time // when all passwords were created
	Policy  string    // of all tenants
}

// Tenant is the name of the n-th tenant, counted from 0.
func Tenant(n int) string {
	// Spread over the alphabet like random ids, and sorted by n.
	return fmt.Sprintf("%08x-7b1d-4c3e-9f00-%012x", uint32(n)*4093, n)
}

// number returns the n of a name from Tenant, or -1.
func number(tenant string) int {
	n, err := strconv.ParseInt(tenant[strings.LastIndexByte(tenant, '-')+1:], 16, 64)
	if err != nil || Tenant(int(n)) != tenant {
		return -1
	}
	return int(n)
}

// Handler serves the fleet in the layout of the example configuration: records at
// vault/smtp/<tenant>/admin, the master key at transit/smtp-master.
func (f Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, body) })
	}
	answer("GET /v1/auth/token/lookup-self", `{"data":{"ttl":0,"renewable":false,"type":"service"}}`)
	answer("GET /v1/sys/internal/ui/mounts/vault", `{"data":{"type":"kv","options":{"version":"2"},"path":"vault/"}}`)
	answer("GET /v1/transit/export/encryption-key/smtp-master", fmt.Sprintf(
		`{"data":{"type":"aes256-gcm96","keys":{"1":%q}}}`, base64.StdEncoding.EncodeToString(make([]byte, 32))))
	mux.HandleFunc("GET /v1/sys/health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, fmt.Sprintf(`{"initialized":true,"sealed":false,"server_time_utc":%d}`, time.Now().Unix()))
	})
	mux.HandleFunc("GET /v1/vault/metadata/smtp/{$}", f.list)
	mux.HandleFunc("GET /v1/vault/metadata/smtp", f.list)
	mux.HandleFunc("GET /v1/vault/data/smtp/{tenant}/admin", f.read)
	return mux
}

func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(body)) // error: the client has gone
}

func (f Fleet) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(`{"request_id":"b2b0a3a5-0f41-4b6f-9c1b-6f0d1e6b7a11","lease_id":"","renewable":false,"lease_duration":0,"data":{"keys":[`)
	for n := range f.Tenants {
		if n > 0 {
			_ = out.WriteByte(',')
		}
		_, _ = fmt.Fprintf(out, `"%s/"`, Tenant(n))
	}
	_, _ = out.WriteString(`]},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}`)
	_ = out.Flush() // error: the client has gone
}

// sealed has the length of a sealed password of 24 characters. It cannot be opened.
var sealed = base64.StdEncoding.EncodeToString(make([]byte, 16+16+24))

func (f Fleet) read(w http.ResponseWriter, r *http.Request) {
	n := number(r.PathValue("tenant"))
	if n < 0 || n >= f.Tenants {
		w.WriteHeader(http.StatusNotFound)
		reply(w, `{"errors":[]}`)
		return
	}
	rotated := f.Rotated.UTC().Format("2006-01-02T15:04:05.000Z")
	reply(w, fmt.Sprintf(`{"request_id":"0c8f7e0e-3c0a-4a6e-8a55-2d1f6f0f9a10","lease_id":"","renewable":false,"lease_duration":0,`+
		`"data":{"data":{"created_at":%q,"key_version":1,"last_rotated":%q,"password":%q,"rotation_policy":%q,`+
		`"username":"admin@tenant-%d.example.com","webmail_url":"%s/webmail"},`+
		`"metadata":{"created_time":%q,"custom_metadata":null,"deletion_time":"","destroyed":false,"version":3}},`+
		`"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}`,
		rotated, rotated, sealed, f.Policy, n, f.Origin, rotated))
}

// Package simvault answers what a sweep with nothing due asks of Vault, for more
// tenants than a real one in memory has room for: login, mount, clock, master
// key, the list of names and each record. It holds no record: all are made of one
// pattern when they are asked for. The list is sent as it is made.
//
// It is for measuring the program's memory and nothing else. What it answers is
// compared with a real Vault by its test. It checks no token and takes no write.
package simvault

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fleet says what the records are.
type Fleet struct {
	Mount, Prefix, Leaf string
	Tenants             int
	Name                func(i int) string         // of the i-th tenant
	Number              func(name string) int      // the other way round; -1: no such tenant
	Fields              func(i int) map[string]any // of the i-th record
}

// Handler serves the fleet.
func (f Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sys/health", health)
	mux.HandleFunc("GET /v1/auth/token/lookup-self", data(map[string]any{"ttl": 0, "renewable": false, "policies": []string{"default"}}))
	mux.HandleFunc("GET /v1/sys/internal/ui/mounts/"+f.Mount, data(map[string]any{
		"path": f.Mount + "/", "type": "kv", "options": map[string]any{"version": "2"},
	}))
	mux.HandleFunc("GET /v1/transit/export/encryption-key/{key}", data(map[string]any{
		"name": "smtp-master", "type": "aes256-gcm96",
		"keys": map[string]any{"1": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))},
	}))
	// The list's path with and without the slash at its end, as Vault takes it.
	mux.HandleFunc("GET /v1/"+f.Mount+"/metadata/"+f.Prefix, f.list)
	mux.HandleFunc("GET /v1/"+f.Mount+"/metadata/"+f.Prefix+"/{$}", f.list)
	mux.HandleFunc("GET /v1/"+f.Mount+"/data/"+f.Prefix+"/{tenant}/"+f.Leaf, f.read)
	return mux
}

func health(w http.ResponseWriter, _ *http.Request) {
	send(w, map[string]any{"initialized": true, "sealed": false, "standby": false, "server_time_utc": time.Now().Unix(), "version": "simulated"})
}

func data(of map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { send(w, answer(of)) }
}

// answer is the envelope of all that Vault answers.
func answer(of any) map[string]any {
	return map[string]any{
		"request_id": "0e5ba9f0-5eed-4000-8000-000000000000", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": of, "wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "kv",
	}
}

func send(w http.ResponseWriter, of any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(of) // a client that has hung up is its own business
}

// list sends the names as folders, each when it is made.
func (f Fleet) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("list") != "true" {
		http.Error(w, `{"errors":["unsupported operation"]}`, http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	before, after, _ := strings.Cut(marshal(answer(map[string]any{"keys": "HERE"})), `"HERE"`)
	out := bufio.NewWriterSize(w, 64<<10)
	defer out.Flush()
	out.WriteString(before)
	for i := range f.Tenants {
		separator := ","
		if i == 0 {
			separator = "["
		}
		// Its error stays with the writer, and no more is made for nobody.
		if _, err := out.WriteString(separator + strconv.Quote(f.Name(i)+"/")); err != nil {
			return
		}
	}
	out.WriteString("]" + after)
}

func (f Fleet) read(w http.ResponseWriter, r *http.Request) {
	i := f.Number(r.PathValue("tenant"))
	if i < 0 || i >= f.Tenants {
		http.Error(w, `{"errors":[]}`, http.StatusNotFound)
		return
	}
	send(w, answer(map[string]any{
		"data": f.Fields(i),
		"metadata": map[string]any{
			"created_time": "2026-01-02T03:04:05.678901234Z", "custom_metadata": nil, "deletion_time": "", "destroyed": false, "version": 1,
		},
	}))
}

func marshal(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		panic(fmt.Sprintf("simvault: %v", err)) // of what is written in this file
	}
	return string(text)
}

package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A reload happens in a running daemon: a hostile file must not exhaust it.
func TestHostileFilesAreRefusedCheaply(t *testing.T) {
	const size = MaxFileSize
	for name, text := range map[string]string{
		"brackets":          strings.Repeat("[", size),
		"braces":            strings.Repeat("{a: ", size/4),
		"dashes":            strings.Repeat("- ", size/2),
		"anchors":           strings.Repeat("&a ", size/3),
		"one-long-list":     "mailu: {servers: [" + strings.Repeat("a,", size/2-10) + "]}",
		"long-quote":        "a: \"" + strings.Repeat("\\n", size/2-4) + "\"",
		"folded":            "a: " + strings.Repeat("x\n  ", size/4-1),
		"comments":          strings.Repeat("#\n", size/2),
		"list-under-limit":  "mailu: {servers: [" + strings.Repeat("a,", maxTokens/2-20) + "]}",
		"keys-under-limit":  strings.Repeat("a:\n", maxTokens/2-1),
		"staircase":         staircase(),
		"names-under-limit": namesUnderLimit(),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			_, err := newLoader("/", environment{}.get).load([]byte(text))

			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("accepted")
			}
			// Measures memory, not time: a slow run may be the machine's fault.
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 1024 {
				t.Errorf("allocated %d MB", mb)
			}
		})
	}
}

// namesUnderLimit has the maximum number of unknown keys.
func namesUnderLimit() string {
	var text strings.Builder
	for i := range maxTokens/3 - 1 {
		fmt.Fprintf(&text, "key%d: 1\n", i)
	}
	return text.String()
}

func TestHundredsOfServersAreNotTooMany(t *testing.T) {
	var text strings.Builder
	text.WriteString("mailu:\n  servers:\n")
	for i := range 700 {
		fmt.Fprintf(&text, "    # the server of town %d\n    - origin: https://mail%d.example.com\n      token_file: mail%d.token\n"+
			"      api_url: https://10.0.0.1/api/v1\n      ca_file: ca.pem\n      allow_http: false\n      max_concurrent: 2\n      timeout: 30s\n      verify: hash\n", i, i, i)
	}
	env := environment{"VAULT_TOKEN": "t", "VAULT_ADDR": "https://vault.example.com"}

	config, err := newLoader("/", env.get).load([]byte(text.String()))

	if err != nil || len(config.Mailu.Servers) != 700 {
		t.Errorf("got %v", err)
	}
}

// staircase nests as deep as the indentation limit allows, with dashes and long keys.
func staircase() string {
	var text strings.Builder
	for text.Len() < MaxFileSize-maxColumn*100 {
		for column := range maxColumn {
			text.WriteString(strings.Repeat(" ", column) + strings.Repeat("- ", maxDepth) + strings.Repeat("k", 50) + ":\n")
		}
	}
	return text.String()
}

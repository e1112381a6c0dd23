package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const examplePath = "../../config.yaml"

func loadExample(t *testing.T) (*loader, *Config) {
	t.Helper()
	l := newLoader("/etc/mailu-rotator", environment{"VAULT_TOKEN": "example-token"}.get)
	config, err := l.load(readTestFile(t, examplePath))
	if err != nil {
		t.Fatal(err)
	}
	return l, config
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	_, got := loadExample(t)
	want, server := Default(), DefaultServer()
	want.Vault.Address = "https://vault.example.com:8200"
	want.Vault.Auth.Token = got.Vault.Auth.Token
	server.Origin = "https://mail.example.com"
	server.APIURL = "https://mail.example.com/api/v1"
	server.TokenFile = "/etc/mailu-rotator/mail.example.com.token"
	want.Mailu.Servers = []Server{server}

	if !reflect.DeepEqual(*got, want) {
		t.Errorf("config.yaml differs from the defaults:\ngot  %+v\nwant %+v", *got, want)
	}
}

func TestExampleStatesEveryDefault(t *testing.T) {
	l, _ := loadExample(t)

	for key, value := range defaults() {
		if strings.HasPrefix(key, "vault.auth.") && key != "vault.auth.method" {
			continue // belongs to a method that the example only comments on
		}
		_, stated := l.at[strings.ReplaceAll(key, "[]", "[0]")]
		if value != "" && !stated {
			t.Errorf("config.yaml does not show %s: %s", key, value)
		}
	}
}

func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	inStruct, inFile := map[string]int{}, map[string]int{}
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		inStruct[key[strings.LastIndexByte(key, '.')+1:]]++
	}
	for _, match := range regexp.MustCompile(`(?m)^ *(?:# )?(?:- )?([a-z_]+):(?: |$)`).FindAllSubmatch(text, -1) {
		inFile[string(match[1])]++
	}

	for name, times := range inStruct {
		if inFile[name] < times {
			t.Errorf("config.yaml has key %s %d times, the struct %d times", name, inFile[name], times)
		}
	}
}

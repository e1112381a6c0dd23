package main

import (
	"slices"

	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/physical/raft"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
)

// plugins is Vault's registry of builtin plugins, cut down to those compiled in.
type plugins map[consts.PluginType]map[string]logical.Factory

func builtinPlugins() plugins {
	return plugins{
		consts.PluginTypeCredential: {"approle": approle.Factory, "cert": cert.Factory, "kubernetes": kubernetes.Factory},
		consts.PluginTypeSecrets:    {"kv": kv.Factory, "transit": transit.Factory},
	}
}

// Get returns a function that returns the plugin's factory: Vault unwraps twice.
func (p plugins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	factory, ok := p[kind][name]
	return func() (any, error) { return factory, nil }, ok
}

// Contains tells whether the plugin is compiled in.
func (p plugins) Contains(name string, kind consts.PluginType) bool {
	_, ok := p[kind][name]
	return ok
}

// Keys lists the plugins of a kind in a stable order.
func (p plugins) Keys(kind consts.PluginType) []string {
	var names []string
	for name := range p[kind] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DeprecationStatus is Supported for every plugin that is compiled in.
func (p plugins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	if !p.Contains(name, kind) {
		return consts.Unknown, false
	}
	return consts.Supported, true
}

// IsBuiltinEntPlugin is false: there are no Enterprise plugins here.
func (plugins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func storages() map[string]physical.Factory {
	return map[string]physical.Factory{"file": file.NewFileBackend, "inmem": inmem.NewInmem, "raft": raft.NewRaftBackend}
}

func auditDevices() map[string]audit.Factory {
	return map[string]audit.Factory{"file": audit.NewFileBackend, "socket": audit.NewSocketBackend}
}

// Command vault is a minimal server around HashiCorp Vault: Vault's own core and HTTP
// handler, KV, Transit, token, AppRole, certificate and Kubernetes auth, file and
// memory storage, Integrated Storage (raft). Tests and the demo use it if no released vault or bao is installed,
// through the same command line:
//
//	vault server -dev [-dev-root-token-id=T] [-dev-listen-address=A] [-dev-no-store-token]
//	vault server -config=FILE
//	vault version
//
// It offers Vault's HTTP API for the parts that are compiled in and refuses others by
// name. It is not for production: no auto-unseal, no UI.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/vault/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "version", "-version", "--version", "-v":
		fmt.Println(version.GetVersion().FullVersionNumber(true))
		return nil
	case "server":
		opts, err := parseFlags(args[1:])
		if err != nil {
			return err
		}
		return serve(ctx, opts)
	default:
		return fmt.Errorf("unknown command %q: this build has only \"server\" and \"version\"", command)
	}
}

// options are the flags of `vault server` that this build supports.
type options struct {
	dev     bool
	token   string
	address string
	config  string
}

func parseFlags(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("vault server", flag.ContinueOnError)
	flags.BoolVar(&o.dev, "dev", false, "initialised, unsealed, in memory")
	flags.StringVar(&o.token, "dev-root-token-id", os.Getenv("VAULT_DEV_ROOT_TOKEN_ID"), "root `token` of a dev server")
	flags.StringVar(&o.address, "dev-listen-address", os.Getenv("VAULT_DEV_LISTEN_ADDRESS"), "`address` of a dev server")
	flags.StringVar(&o.config, "config", "", "configuration `file`")
	flags.Bool("dev-no-store-token", true, "always so: this build never writes a token file")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: vault server takes flags only", flags.Arg(0))
	}
	if !o.dev && o.config == "" {
		return options{}, errors.New("no configuration: give -config=FILE, or -dev for a server in memory")
	}
	return o, nil
}

// Command vaultcli is Vault's own command line, and nothing else: the rival's
// script is measured with it where no released vault is installed.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }

// Command vaultcli is Vault's own command line only: the baseline script is measured with
// it if no released vault is installed.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }

//go:build man

package main

import (
	"os"

	"github.com/spf13/cobra"

	"mailu-rotator/internal/manual"
)

func addManCommand(root *cobra.Command) {
	root.AddCommand(&cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the manual pages of the commands into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return manual.Write(root, args[0], os.Getenv("SOURCE_DATE_EPOCH"))
		},
	})
}

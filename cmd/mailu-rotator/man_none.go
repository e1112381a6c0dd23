//go:build !man

package main

import "github.com/spf13/cobra"

// addManCommand adds nothing: the program that is installed does not write manual pages.
func addManCommand(*cobra.Command) {}

//go:build !linux

package main

// hardenProcess does what it can outside Linux, which is nothing.
func hardenProcess() error { return nil }

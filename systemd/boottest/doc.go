// Package boottest tests the installed service under a real systemd. It is compiled
// into a program (the build tag boot), which scripts/boot-test.sh puts into a Debian
// tree with the package installed. The program runs there as root after systemd-nspawn
// has booted the tree. Vault and Mailu run in the same tree, on loopback.
//
// `make boot-test` does all that. It needs root.
package boottest

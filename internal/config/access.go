package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links on the path to one file; the kernel's limit is the
// same.
const maxLinks = 40

// Account is a user with its groups, as systemd runs a service with User=.
type Account struct {
	Name   string
	UID    uint32
	Groups []uint32
}

// AccountOf looks a user of this host up.
func AccountOf(name string) (Account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return Account{}, err
	}
	groups, err := found.GroupIds()
	if err != nil {
		return Account{}, err
	}
	account := Account{Name: name}
	for i, id := range append([]string{found.Uid}, groups...) {
		n, err := strconv.ParseUint(id, 10, 32)
		switch {
		case err != nil:
			return Account{}, fmt.Errorf("user %s: %w", name, err)
		case i == 0:
			account.UID = uint32(n)
		default:
			account.Groups = append(account.Groups, uint32(n))
		}
	}
	return account, nil
}

// CheckAccess reports, as a [FileError] each, which files the account cannot read: the
// configuration at path, and what it names outside the directories of the credentials,
// which are root's and reach a service through LoadCredential=; and which hooks it cannot
// execute. Owner, group and mode of the files and of the directories on their paths
// decide, not an attempt, so root can ask for another user. Of a path with an access
// control list nothing is said.
//
// env is as in [Load]. Files that are missing or refused are for [Config.CheckFiles] and
// [Config.CheckHooks].
func (c *Config) CheckAccess(path string, env func(string) string, who Account) (files, hooks []error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return []error{err}, nil
	}
	told := map[string]bool{} // a directory may be on every path
	note := func(errs *[]error, key string, obstacle *FileError) {
		if obstacle != nil && !told[obstacle.Fix] {
			told[obstacle.Fix] = true
			*errs = append(*errs, fmt.Errorf("%s: %w", key, obstacle))
		}
	}
	note(&files, "configuration", who.obstacle(path, readPublic))
	private := []string{filepath.Join(filepath.Dir(path), "credentials"), "/run/credentials"}
	if dir := env(credentialsDirectory); dir != "" {
		private = append(private, dir)
	}
	for _, file := range c.read() {
		isCredential := slices.ContainsFunc(private, func(dir string) bool { return strings.HasPrefix(*file.path, dir+"/") })
		fromShell := file.key == keyOfCAFile && c.Vault.CAFileFrom != ""
		if *file.path == "" || isCredential || fromShell {
			continue
		}
		right := readSecret
		if strings.HasSuffix(file.key, "ca_file") || strings.HasSuffix(file.key, "cert_file") {
			right = readPublic
		}
		note(&files, file.key, who.obstacle(*file.path, right))
	}
	for _, hook := range c.Hooks.files() {
		if hook.check(*hook.path) == nil {
			note(&hooks, hook.key, who.obstacle(*hook.path, rightToRun(*hook.path)))
		}
	}
	return files, hooks
}

// right is what an account needs of a file.
type right struct {
	verb    string
	letters string // of chmod
	bits    fs.FileMode
	secret  bool // nobody else may have it
}

var (
	enter      = right{verb: "enter", letters: "x", bits: 0o1}
	readPublic = right{verb: "read", letters: "r", bits: 0o4}
	readSecret = right{verb: "read", letters: "r", bits: 0o4, secret: true}
)

// rightToRun is what it takes to execute a program: the interpreter of a script also
// reads it.
func rightToRun(path string) right {
	run := right{verb: "execute", letters: "x", bits: 0o1}
	file, err := os.Open(path)
	if err != nil {
		return run
	}
	defer file.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(file, head); err == nil && string(head) == "#!" {
		run.letters, run.bits = "rx", 0o5
	}
	return run
}

// obstacle returns the first one on an absolute path, of which it follows the symbolic
// links: a directory that the account cannot enter, or the file without the right.
func (who Account) obstacle(path string, want right) *FileError {
	at, links := "", 0
	for rest := components(path); len(rest) > 0; {
		name, last := rest[0], len(rest) == 1
		here := filepath.Join(at, name)
		info, err := os.Lstat(here)
		switch {
		case err != nil || hasACL(here):
			return nil
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(here)
			if links++; err != nil || links > maxLinks {
				return nil
			}
			rest = append(components(target), rest[1:]...)
			if filepath.IsAbs(target) {
				at = ""
			}
			continue
		}
		need := enter
		if last {
			need = want
		}
		if err := who.lacks(here, info, need); err != nil {
			return err
		}
		at, rest = here, rest[1:]
	}
	return nil
}

// lacks returns an error if the account does not have the right. The command of the error
// gives no more than that.
func (who Account) lacks(path string, info fs.FileInfo, need right) *FileError {
	owner, group, known := ownerOf(info)
	if !known || who.may(info.Mode(), owner, group, need.bits) {
		return nil
	}
	fix := "chmod a+" + need.letters + " " + path
	switch {
	case who.UID == owner:
		fix = "chmod u+" + need.letters + " " + path
	case slices.Contains(who.Groups, group):
		fix = "chmod g+" + need.letters + " " + path
	case need.secret:
		fix = fmt.Sprintf("chgrp %s %s && chmod g+%s %s", who.Name, path, need.letters, path)
	}
	return &FileError{
		Err: fmt.Errorf("the service's user %s cannot %s %s (mode %04o, of user %d and group %d): %s", who.Name, need.verb, path, info.Mode().Perm(), owner, group, fix),
		Fix: fix,
	}
}

// may applies the rule of path_resolution(7): the first class that fits decides, even if
// a later one would allow more. bits are those of others.
func (who Account) may(mode fs.FileMode, owner, group uint32, bits fs.FileMode) bool {
	switch {
	case who.UID == 0:
		return true
	case who.UID == owner:
		bits <<= 6
	case slices.Contains(who.Groups, group):
		bits <<= 3
	}
	return mode&bits == bits
}

func ownerOf(info fs.FileInfo) (owner, group uint32, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, 0, false
	}
	return stat.Uid, stat.Gid, true
}

// components splits a path; the first one of an absolute path is "/".
func components(path string) []string {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if strings.HasPrefix(path, "/") {
		return append([]string{"/"}, names...)
	}
	return names
}

package config

import (
	"fmt"
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
// which are root's and reach a service through LoadCredential=. Owner, group and mode of
// the files and of the directories on their paths decide, not an attempt, so root can
// ask for another user. Of a path with an access control list nothing is said.
//
// env is as in [Load]. Files that are missing or refused are for [Config.CheckFiles].
func (c *Config) CheckAccess(path string, env func(string) string, who Account) (errs []error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return []error{err}
	}
	told := map[string]bool{} // a directory may be on every path
	note := func(key string, obstacle *FileError) {
		if obstacle != nil && !told[obstacle.Fix] {
			told[obstacle.Fix] = true
			errs = append(errs, fmt.Errorf("%s: %w", key, obstacle))
		}
	}
	note("configuration", who.reads(path, true))
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
		public := strings.HasSuffix(file.key, "ca_file") || strings.HasSuffix(file.key, "cert_file")
		note(file.key, who.reads(*file.path, public))
	}
	return errs
}

// reads returns the first obstacle on an absolute path, of which it follows the symbolic
// links. public says that everybody may read the file.
func (who Account) reads(path string, public bool) *FileError {
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
		if err := who.obstacle(here, info, last, public); err != nil {
			return err
		}
		at, rest = here, rest[1:]
	}
	return nil
}

// obstacle is the error of a directory that the account cannot enter, or of a file that
// it cannot read. The command of the error gives no more than that.
func (who Account) obstacle(path string, info fs.FileInfo, last, public bool) *FileError {
	what, letter, bit := "enter", "x", fs.FileMode(0o1)
	if last {
		what, letter, bit = "read", "r", 0o4
	}
	owner, group, known := ownerOf(info)
	if !known || who.may(info.Mode(), owner, group, bit) {
		return nil
	}
	fix := "chmod a+" + letter + " " + path
	switch {
	case who.UID == owner:
		fix = "chmod u+" + letter + " " + path
	case slices.Contains(who.Groups, group):
		fix = "chmod g+" + letter + " " + path
	case last && !public:
		fix = fmt.Sprintf("chgrp %s %s && chmod g+r %s", who.Name, path, path)
	}
	return &FileError{
		Err: fmt.Errorf("the service's user %s cannot %s %s (mode %04o, of user %d and group %d): %s", who.Name, what, path, info.Mode().Perm(), owner, group, fix),
		Fix: fix,
	}
}

// may applies the rule of path_resolution(7): the first class that fits decides, even if
// a later one would allow more. bit is that of others.
func (who Account) may(mode fs.FileMode, owner, group uint32, bit fs.FileMode) bool {
	switch {
	case who.UID == 0:
		return true
	case who.UID == owner:
		bit <<= 6
	case slices.Contains(who.Groups, group):
		bit <<= 3
	}
	return mode&bit != 0
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

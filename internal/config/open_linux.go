package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// open opens a file for reading. It follows a symbolic link, as Kubernetes and agents
// use them, only if the link belongs to root, to this process's user or to the owner of
// the file at the end. Otherwise anyone who can write to a directory on the path could
// make us send any readable file as a token.
func open(path string) (*os.File, error) {
	o := secureOpen{dir: unix.AT_FDCWD}
	defer o.leave()
	file, err := o.to(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	info, err := file.Stat()
	if err == nil {
		err = checkOwners(o.links, info.Sys().(*syscall.Stat_t).Uid)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// secureOpen opens a path one component at a time, each relative to the directory opened
// before, so that renames on the path cannot redirect it.
type secureOpen struct {
	dir   int    // open, or AT_FDCWD
	at    string // its name, for messages
	links []link // followed so far
}

type link struct {
	path  string
	owner uint32
}

func (o *secureOpen) to(path string) (*os.File, error) {
	for rest := components(path); len(rest) > 0; {
		name, last := rest[0], len(rest) == 1
		target, err := o.step(name, last)
		switch {
		case err != nil:
			return nil, err
		case target == "" && last:
			return o.open(name, path)
		}
		rest = append(components(target), rest[1:]...)
	}
	return nil, unix.ENOENT
}

// step enters name unless it is the last component. If name is a link, step returns its
// target.
func (o *secureOpen) step(name string, last bool) (target string, err error) {
	fd, err := openat(o.dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		_ = unix.Close(fd)
		return "", err
	}
	here := filepath.Join(o.at, name)
	switch {
	case stat.Mode&unix.S_IFMT == unix.S_IFLNK:
		defer unix.Close(fd)
		o.links = append(o.links, link{path: here, owner: stat.Uid})
		if len(o.links) > maxLinks {
			return "", unix.ELOOP
		}
		return readlink(fd)
	case last:
		return "", unix.Close(fd)
	case name == "/":
		here = "/"
	}
	o.leave()
	o.dir, o.at = fd, here
	return "", nil
}

// open opens a name that was not a link when checked. Without O_NONBLOCK, opening a
// named pipe would wait for a writer.
func (o *secureOpen) open(name, path string) (*os.File, error) {
	fd, err := openat(o.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (o *secureOpen) leave() {
	if o.dir >= 0 {
		_ = unix.Close(o.dir)
	}
}

func checkOwners(links []link, fileOwner uint32) error {
	trusted := []int{0, os.Geteuid(), int(fileOwner)}
	for _, l := range links {
		if !slices.Contains(trusted, int(l.owner)) {
			return fmt.Errorf("%s is a symbolic link made by user %d, who is neither root, nor this program's user, nor the owner of the file that it leads to: name that file itself", l.path, l.owner)
		}
	}
	return nil
}

// readlink reads the link that is open as fd, not one that replaced it.
func readlink(fd int) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// openat retries after EINTR, as os.Open does.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// hasACL reports whether an access control list, beside the mode, decides who may use a
// file; see acl(5).
func hasACL(path string) bool {
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

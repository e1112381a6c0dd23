package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the symbolic links on the path to one file; the kernel's limit is the
// same.
const maxLinks = 40

// open opens a file for reading. It follows a symbolic link, as Kubernetes and agents
// use them, only if the link belongs to root, to this process's user or to the owner of
// the file at the end. Otherwise anyone who can write to a directory on the path could
// make us send any readable file as a token.
func open(path string) (*os.File, error) {
	w := walk{dir: unix.AT_FDCWD}
	defer w.leave()
	file, err := w.to(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	info, err := file.Stat()
	if err == nil {
		err = trust(w.links, info.Sys().(*syscall.Stat_t).Uid)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// walk opens a path one component at a time, each relative to the directory opened
// before, so that renames on the path cannot redirect it.
type walk struct {
	dir   int    // open, or AT_FDCWD
	at    string // its name, for messages
	links []link // followed so far
}

type link struct {
	path  string
	owner uint32
}

func (w *walk) to(path string) (*os.File, error) {
	rest := path
	for rest != "" {
		if strings.HasPrefix(rest, "/") {
			if err := w.root(); err != nil {
				return nil, err
			}
		}
		name, after, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if name == "" {
			name = "."
		}
		target, err := w.step(name, after == "")
		switch {
		case err != nil:
			return nil, err
		case target == "" && after == "":
			return w.open(name, path)
		}
		rest = strings.TrimSuffix(strings.TrimLeft(target+"/"+after, "/"), "/")
		if strings.HasPrefix(target, "/") {
			rest = "/" + rest
		}
	}
	return nil, unix.ENOENT
}

func (w *walk) root() error {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	w.leave()
	w.dir, w.at = fd, "/"
	return nil
}

// step enters name unless it is the last component. If name is a link, step returns its
// target.
func (w *walk) step(name string, last bool) (target string, err error) {
	fd, err := openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		_ = unix.Close(fd)
		return "", err
	}
	here := filepath.Join(w.at, name)
	switch {
	case stat.Mode&unix.S_IFMT == unix.S_IFLNK:
		defer unix.Close(fd)
		w.links = append(w.links, link{path: here, owner: stat.Uid})
		if len(w.links) > maxLinks {
			return "", unix.ELOOP
		}
		return readlink(fd)
	case last:
		return "", unix.Close(fd)
	}
	w.leave()
	w.dir, w.at = fd, here
	return "", nil
}

// open opens a name that was not a link when checked. Without O_NONBLOCK, opening a
// named pipe would wait for a writer.
func (w *walk) open(name, path string) (*os.File, error) {
	fd, err := openat(w.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (w *walk) leave() {
	if w.dir >= 0 {
		_ = unix.Close(w.dir)
	}
}

func trust(links []link, fileOwner uint32) error {
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

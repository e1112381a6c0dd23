package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"mailu-rotator/crypto"
)

// MaxSecretSize is the largest file that [ReadSecret] reads, in bytes.
const MaxSecretSize = 64 << 10

// ReadSecret reads a token or another one-line secret. It refuses a file that everybody
// can read or that anybody but its owner can write, anything but a regular file, and a
// content that cannot be a token: an editor's stray space would be sent as a wrong
// token, and Mailu blocks a sender after five of those. One newline at the end, with or
// without a carriage return, is cut off.
//
// ReadSecret follows symbolic links, because Kubernetes mounts secrets and agents
// replace them that way, but on Linux not links of other users, see [open]. It checks
// the file that it opened. Errors name the path and the remedy, never the content.
func ReadSecret(path string) (crypto.Secret, error) {
	return readLine(path, ownersSecret())
}

// ReadServiceAccountToken is [ReadSecret] for the token that Kubernetes mounts into a
// pod. It accepts a file that everybody can read: the kubelet makes the token readable
// for every user of the pod.
func ReadServiceAccountToken(path string) (crypto.Secret, error) {
	return readLine(path, podsSecret())
}

func readLine(path string, rule fileRule) (crypto.Secret, error) {
	data, err := readFile(path, rule)
	if err != nil {
		return crypto.Secret{}, err
	}
	line, found := bytes.CutSuffix(data, []byte("\n"))
	if found {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	if err := checkSecret(line); err != nil {
		clear(data)
		return crypto.Secret{}, fmt.Errorf("%s: %w", path, err)
	}
	return crypto.NewSecret(line), nil
}

// checkSecret accepts only what can be sent in an HTTP header: visible ASCII.
func checkSecret(secret []byte) error {
	if len(secret) == 0 {
		return errors.New("empty: write the secret into it")
	}
	if isEncrypted(secret) {
		return &FileError{
			Err: errors.New("encrypted for systemd, which alone can read it: use mailu-rotator-as-service, which runs a command as the service"),
			Fix: "mailu-rotator-as-service doctor",
		}
	}
	for i, c := range secret {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("holds a space, control or non-ASCII character (byte %d): it should be one line with nothing but the secret", i+1)
		}
	}
	return nil
}

// isEncrypted recognizes what systemd-creds(1) writes: several long lines of base64.
func isEncrypted(secret []byte) bool {
	return bytes.IndexByte(secret, '\n') >= 64 && !bytes.ContainsFunc(secret, func(c rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n", c)
	})
}

// fileRule says which permissions a file must not have and how much of it is read.
type fileRule struct {
	forbidden fs.FileMode
	most      int64 // bytes
	chmod     string
}

func ownersSecret() fileRule {
	return fileRule{forbidden: 0o026, most: MaxSecretSize, chmod: "600"}
}

func podsSecret() fileRule {
	return fileRule{forbidden: 0o022, most: MaxSecretSize, chmod: "644"}
}

// publicFile is for certificates: they are no secret, but a writer of them decides
// which servers we trust.
func publicFile() fileRule {
	return fileRule{forbidden: 0o022, most: 1 << 20, chmod: "644"}
}

func readFile(path string, rule fileRule) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := rule.check(path, info); err != nil {
		return nil, err
	}
	// One buffer of the full size: a growing buffer would leave parts of a secret behind
	// in memory.
	buffer := make([]byte, rule.most+1)
	defer clear(buffer)
	n, err := io.ReadFull(file, buffer)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s is larger than %d bytes: is it the right file?", path, rule.most)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bytes.Clone(buffer[:n]), nil
	}
	return nil, fmt.Errorf("read %s: %w", path, err)
}

func (r fileRule) check(path string, info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case mode&r.forbidden&0o004 != 0:
		return r.modeError(path, mode, "readable by everyone")
	case mode&r.forbidden&0o022 != 0:
		return r.modeError(path, mode, "writable by others than its owner")
	}
	return nil
}

func (r fileRule) modeError(path string, mode fs.FileMode, what string) error {
	fix := "chmod " + r.chmod + " " + path
	return &FileError{Err: fmt.Errorf("%s is %s (mode %04o): %s", path, what, mode.Perm(), fix), Fix: fix}
}

// FileError is an error with a known remedy.
type FileError struct {
	Err error
	Fix string // for people: a command, or what to do
}

func (e *FileError) Error() string { return e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

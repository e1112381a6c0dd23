package faultproxy

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// socketOf returns the kernel's name of the socket with these addresses of IPv4, as
// /proc/PID/fd shows it, or "". The local one alone does not name it: connections to
// different servers may share it.
func socketOf(local, remote net.Addr) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	wanted := inTable(local) + " " + inTable(remote)
	for line := range strings.Lines(string(table)) {
		const localAddress, remoteAddress, inode = 1, 2, 9 // columns
		columns := strings.Fields(line)
		if len(columns) > inode && columns[localAddress]+" "+columns[remoteAddress] == wanted {
			return "socket:[" + columns[inode] + "]"
		}
	}
	return ""
}

// inTable returns an address as /proc/net/tcp has it, with its bytes in the host's order;
// "" if it is not IPv4.
func inTable(addr net.Addr) string {
	address, ok := addr.(*net.TCPAddr)
	if !ok || address.IP.To4() == nil {
		return ""
	}
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(address.IP.To4()), address.Port)
}

// socketsOf returns the names of all sockets of a process.
func socketsOf(pid int) (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sockets := map[string]bool{}
	for _, file := range files {
		// error: it has been closed
		if name, err := os.Readlink(filepath.Join(dir, file.Name())); err == nil && strings.HasPrefix(name, "socket:") {
			sockets[name] = true
		}
	}
	return sockets, nil
}

package faultproxy

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// socketOf returns the kernel's name of the socket with this local address of IPv4, as
// /proc/PID/fd shows it, or "".
func socketOf(local net.Addr) string {
	address, ok := local.(*net.TCPAddr)
	if !ok || address.IP.To4() == nil {
		return ""
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	// As in the table: the bytes of the address in the host's order.
	wanted := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(address.IP.To4()), address.Port)
	for line := range strings.Lines(string(table)) {
		const localAddress, inode = 1, 9 // columns
		if columns := strings.Fields(line); len(columns) > inode && columns[localAddress] == wanted {
			return "socket:[" + columns[inode] + "]"
		}
	}
	return ""
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

// Package notify reports the daemon's state to systemd by the protocol of sd_notify(3):
// ready, reloading, stopping, the current work, and the watchdog's keep-alive. It is
// for Type=notify of systemd 247 and later.
//
// If systemd did not set NOTIFY_SOCKET, every method does nothing. Messages name no
// tenant and no server, since everybody on the host can read them.
//
// The protocol is a datagram of lines, so this package uses no library. It imports
// rotator for its events, and nothing else of this module.
package notify

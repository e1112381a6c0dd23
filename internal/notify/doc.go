// Package notify tells systemd how the daemon stands, by the protocol of
// sd_notify(3): ready, reloading, stopping, what is under way, and that it goes
// on (the watchdog). It is for Type=notify of systemd 247 and later.
//
// Where systemd did not ask, nothing happens: every method then does nothing.
// What systemd is told names no tenant and no server, since everybody on the
// host may read it.
//
// The protocol is a datagram of lines, which is why there is no library here.
// The package imports rotator for its events, and nothing else of ours.
package notify

//go:build !linux

package notify

import "time"

// monotonic is unused here: systemd exists on Linux only.
func monotonic() time.Duration { return 0 }

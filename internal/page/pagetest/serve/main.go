// Command serve serves the status page of a generated fleet, for development:
//
//	go run ./internal/page/pagetest/serve -tenants 300 -fleet mixed
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
	"mailu-rotator/rotator/status"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9181", "loopback address to listen on")
	tenants := flag.Int("tenants", 300, "how many tenants, at least 12")
	name := flag.String("fleet", "mixed", "healthy, mixed, sealed, unread, empty or refused")
	flag.Parse()

	fleet, known := map[string]func() status.Snapshot{
		"healthy": func() status.Snapshot { return pagetest.Healthy(*tenants) },
		"mixed":   func() status.Snapshot { return pagetest.Mixed(*tenants) },
		"sealed":  func() status.Snapshot { return pagetest.Sealed(*tenants) },
		"unread":  pagetest.Unread,
		"empty":   pagetest.Empty,
		"refused": pagetest.Refused,
		"new":     pagetest.Uninhabited,
	}[*name]
	if !known {
		fmt.Fprintf(os.Stderr, "serve: no fleet is called %q\n", *name)
		os.Exit(1)
	}
	server := http.Server{Addr: *listen, Handler: page.New(pagetest.Config(fleet())), ReadHeaderTimeout: 5 * time.Second}
	fmt.Printf("http://%s/\n", *listen)
	fmt.Fprintln(os.Stderr, "serve:", server.ListenAndServe())
	os.Exit(1)
}

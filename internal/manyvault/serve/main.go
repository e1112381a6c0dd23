// Command serve is a Vault of many tenants on loopback, in a process of its own,
// so that it takes nothing from the memory of the program that is measured. It
// prints its address and serves until it is ended.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"mailu-rotator/internal/manyvault"
)

func main() {
	tenants := flag.Int("tenants", 1000, "how many `tenants` there are")
	origin := flag.String("origin", "https://mail.example.com", "the Mailu `server` of all of them")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	fleet := manyvault.Fleet{Tenants: *tenants, Origin: *origin, Rotated: time.Now().AddDate(0, 0, -1), Policy: "180_days"}
	server := &http.Server{Handler: fleet.Handler(), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

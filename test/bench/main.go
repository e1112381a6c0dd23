// Command bench measures mailu-rotator: the shipped program as a separate process, on a
// real Vault and on Mailu test servers in other processes, against alternatives that do
// the same work on the same machine at the same time. The ratios are the result. `make
// bench` runs it, and docs/performance.md describes what is measured and how.
//
// It is a separate Go module, because it draws plots: the program must not depend on
// plotting libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	if played, status := playRole(); played {
		os.Exit(status)
	}
	if err := divideCores(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	var o options
	flag.StringVar(&o.repository, "root", "../..", "the root of the repository")
	flag.StringVar(&o.program, "binary", "../../bin/mailu-rotator", "the program to measure, as it ships")
	flag.StringVar(&o.vaultCLI, "vault-cli", "", "Vault's command line, for the script (default: what vaultcli/build.sh finds or builds)")
	flag.StringVar(&o.scale, "scale", "full", "how much is measured: full, check or smoke")
	only := flag.String("only", "", "measure these parts alone, separated by commas: "+strings.Join(partNames(), ", "))
	flag.BoolVar(&o.write, "write", false, "keep the results in bench/results.json and docs/")
	flag.BoolVar(&o.check, "check", false, "compare with bench/results.json; exit status 1 where a ratio is worse")
	flag.BoolVar(&o.long, "long", false, "let the growth of rotations go on to 100,000 tenants, which takes half an hour")
	render := flag.Bool("render", false, "measure nothing: write docs/ anew from bench/results.json")
	flag.Parse()
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *render {
		err = renderAnew(o.repository)
	} else {
		err = run(ctx, o)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\ninterrupted: everything that was started has been ended")
		os.Exit(130)
	case errors.Is(err, errWorse):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

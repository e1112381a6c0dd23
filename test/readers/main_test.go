package readers

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
)

// theKit is made once, since compilers take longer than most tests.
var theKit kit

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if theKit, err = newKit(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(theKit.dir)
	// Some only wait, for a bound to pass, whatever the number of cores.
	_ = flag.Set("test.parallel", "2")
	return m.Run()
}

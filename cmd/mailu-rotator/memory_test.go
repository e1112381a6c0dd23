package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/test/vaultread"
)

// searchedRun is the variable that makes the test binary do a run with this
// configuration and then search its own memory.
const searchedRun = "MAILU_ROTATOR_SEARCHED_RUN"

// mask is XORed over the searched text: the search must not find itself.
const mask = 0xa5

// finding is the run's report: how often each secret is in memory.
type finding struct {
	Rotated int
	Copies  map[string]int
}

// After a run the program can reach no secret. This test has the collector overwrite
// freed memory (GODEBUG=clobberfree=1), which it does not do otherwise: there such
// copies remain until their memory is reused.
func TestARunLeavesNoSecretWithinReach(t *testing.T) {
	s := newTestSite(t)
	acme := s.mustSeed(t, "acme", "age=400")
	must(t, s.writeConfig("rotation.canary=false"))

	found := s.searchedRun(t, map[string]string{
		"vault token":   s.fileText(t, "vault-token"),
		"mailu token":   acme.mailu.Token(),
		"master key":    string(s.masterKey(t)),
		"its base64":    base64.StdEncoding.EncodeToString(s.masterKey(t)),
		"sure to be in": "a planted copy, so that the search is known to find",
	})

	if found.Rotated != 1 || found.Copies["sure to be in"] == 0 {
		t.Fatalf("a search that shows nothing: %+v", found)
	}
	for _, what := range []string{"new password", "vault token", "mailu token", "master key", "its base64"} {
		if n, searched := found.Copies[what]; n > 0 || !searched {
			t.Errorf("%s: %d copies are left", what, n)
		}
	}
}

func (s *site) fileText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	must(t, err)
	return strings.TrimSpace(string(text))
}

func (s *site) masterKey(t *testing.T) []byte {
	t.Helper()
	keys, err := vaultread.MasterKeys(t.Context(), s.root, s.layout().TransitMount, s.key)
	must(t, err)
	return keys[1]
}

func (s *site) searchedRun(t *testing.T, secrets map[string]string) (found finding) {
	t.Helper()
	masked := map[string][]byte{}
	for what, secret := range secrets {
		masked[what] = masking([]byte(secret))
	}
	input, err := json.Marshal(masked)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GODEBUG=clobberfree=1", searchedRun + "=" + s.configFile()}
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	printed, err := cmd.Output()
	must(t, err)
	must(t, json.Unmarshal(printed, &found))
	return found
}

// runAndSearch is the other process: it rotates as the program does, and then searches
// its own memory.
func runAndSearch(path string, stdin io.Reader, stdout io.Writer) error {
	wanted := map[string][]byte{}
	if err := json.NewDecoder(stdin).Decode(&wanted); err != nil {
		return err
	}
	planted := masking(bytes.Clone(wanted["sure to be in"]))
	defer runtime.KeepAlive(&planted)

	found := finding{Copies: map[string]int{}}
	var err error
	ended := make(chan struct{})
	go func() { // with its own stack, which is freed afterwards
		defer close(ended)
		found.Rotated, wanted["new password"], err = rotateOnce(path)
	}()
	if <-ended; err != nil {
		return err
	}
	for range 40 {
		for range 3 { // pools release their content at the second collection, and stacks of ended goroutines return to the system
			debug.FreeOSMemory()
		}
		if err := search(wanted, found.Copies); err != nil {
			return err
		}
		if found.nothingLeft() {
			break
		}
		time.Sleep(50 * time.Millisecond) // a connection's goroutines, with their buffers, end later
	}
	return json.NewEncoder(stdout).Encode(found)
}

// nothingLeft ignores the planted copies.
func (f finding) nothingLeft() bool {
	for what, n := range f.Copies {
		if n > 0 && what != "sure to be in" {
			return false
		}
	}
	return true
}

// rotateOnce returns the number of rotated tenants, and the last password, masked.
func rotateOnce(path string) (rotated int, masked []byte, err error) {
	app, err := loadApp(path, io.Discard, nil)
	if err != nil {
		return 0, nil, err
	}
	ctx := context.Background()
	report, err := inSession(ctx, app, func(s *session) (sweep.Report, error) {
		generate := s.NewPassword
		s.NewPassword = func() (crypto.Secret, error) {
			password, err := generate()
			masked = masking(bytes.Clone(password.Reveal()))
			return password, err
		}
		return s.Run(ctx, sweep.Selection{All: true}, 0)
	})
	return report.Count(rotator.Rotated), masked, err
}

// masking applies the mask to the bytes in place.
func masking(b []byte) []byte {
	for i := range b {
		b[i] ^= mask
	}
	return b
}

// search counts matches in the heap, which includes Go's stacks, and in the program's
// variables.
func search(wanted map[string][]byte, copies map[string]int) error {
	for what := range wanted {
		copies[what] = 0
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return err
	}
	defer memory.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to uint64
		var may string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &may); err != nil {
			return err
		}
		if strings.HasPrefix(may, "rw") && (isHeap(from) || strings.HasSuffix(lines.Text(), self)) {
			if err := searchRegion(io.NewSectionReader(memory, int64(from), int64(to-from)), wanted, copies); err != nil {
				return err
			}
		}
	}
	return nil
}

// isHeap uses the address of a heap object: Go's heap is in one part of the address
// space, and the race detector's huge shadow memory in another.
func isHeap(address uint64) bool {
	var there uint64
	_, err := fmt.Sscanf(fmt.Sprintf("%p", new([64 << 10]byte)), "0x%x", &there)
	return err == nil && address>>32 == there>>32
}

func searchRegion(region io.Reader, wanted map[string][]byte, copies map[string]int) error {
	const longest = 256 // of the searched texts
	window := make([]byte, 1<<20+longest)
	kept := 0
	for {
		n, err := io.ReadFull(region, window[kept:])
		masking(window[kept : kept+n])
		for what, secret := range wanted {
			seen := bytes.Count(window[:kept+n], secret)
			if kept > 0 { // already counted
				seen -= bytes.Count(window[:min(kept, kept+n)], secret)
			}
			copies[what] += seen
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(window, window[len(window)-longest:])
	}
}

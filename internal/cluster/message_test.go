package cluster_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// recorded returns the batches that are published from now on.
func (f *fleet) recorded() *nats.Subscription {
	f.t.Helper()
	conn, err := nats.Connect(f.nats.URL)
	f.must(err)
	f.t.Cleanup(conn.Close)
	all, err := conn.SubscribeSync("mr.work.>")
	f.must(err)
	f.must(conn.Flush())
	return all
}

func (f *fleet) mustNext(all *nats.Subscription) *nats.Msg {
	f.t.Helper()
	message, err := all.NextMsg(5 * time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	return message
}

// publish is what whoever owns NATS can do.
func (f *fleet) publish(subject string, data []byte) {
	f.t.Helper()
	_, err := f.jetStream().Publish(context.WithoutCancel(f.t.Context()), subject, data)
	f.must(err)
}

// workSubject is where a server's batches of a run are.
func workSubject(origin rotator.Origin, run string) string {
	sum := sha256.Sum256([]byte(origin))
	return "mr.work." + hex.EncodeToString(sum[:8]) + "." + run
}

// settled waits until the workers have done with what NATS holds.
func (f *fleet) settled() {
	f.t.Helper()
	f.eventually("no batch is left", func() bool { return f.stream("MR_WORK").CachedInfo().State.Msgs == 0 })
}

func TestReplayedBatchRotatesNobody(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	f.worker("one", serverA)
	batches := f.recorded()
	f.run(t.Context(), "all-1")
	batch := f.mustNext(batches)

	f.publish(batch.Subject, batch.Data)

	f.settled()
	f.wantOncePushed(5)
}

func TestForgedBatchOrdersNothing(t *testing.T) {
	f := newFleet(t)
	f.config.AckWait = time.Second
	f.add(serverA, 0, 5)
	f.worker("one", serverA, serverB)
	batches := f.recorded()
	f.run(t.Context(), "all-1")
	batch := f.mustNext(batches)
	f.run(t.Context(), "all-2")
	foreign, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: bytes.Repeat([]byte{9}, crypto.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.SealMessage(1, batch.Subject, []byte(`{"run":"all-1","id":"1.1","all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	own, err := keyring(false)
	if err != nil {
		t.Fatal(err)
	}
	garbage, err := own.SealMessage(1, batch.Subject, []byte("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	asked := f.count(func(c rotatortest.Call) bool { return c.Tenant != "" || c.User != "" })
	for name, c := range map[string]struct {
		subject string
		data    []byte
	}{
		"sealed with another key": {batch.Subject, forged},
		"of another run":          {workSubject(serverA, "all-2"), batch.Data},
		"of another server":       {workSubject(serverB, "all-1"), batch.Data},
		"not sealed":              {batch.Subject, []byte(`{"run":"all-1","id":"1.1"}`)},
		"of another release":      {batch.Subject, garbage},
		"empty":                   {batch.Subject, nil},
	} {
		before := f.reports("refused: ")

		f.publish(c.subject, c.data)

		f.eventually(name+" is reported", func() bool { return f.reports("refused: ") == before+1 })
	}
	f.settled()
	if after := f.count(func(c rotatortest.Call) bool { return c.Tenant != "" || c.User != "" }); after != asked {
		t.Errorf("%d calls to Vault and Mailu", after-asked)
	}
}

func TestBatchOfAForgottenRunOrdersNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	w := f.worker("one", serverA)
	batches := f.recorded()
	f.run(t.Context(), "all-1")
	batch := f.mustNext(batches)
	w.noTokens.Store(true) // which does not matter either
	runs, err := f.jetStream().KeyValue(t.Context(), "MR_RUNS")
	if err != nil {
		t.Fatal(err)
	}
	f.must(runs.Delete(t.Context(), "all-1"))
	asked := f.count(func(c rotatortest.Call) bool { return c.Tenant != "" || c.User != "" })

	f.publish(batch.Subject, batch.Data)

	f.settled()
	if after := f.count(func(c rotatortest.Call) bool { return c.Tenant != "" || c.User != "" }); after != asked {
		t.Errorf("%d calls to Vault and Mailu", after-asked)
	}
}

func TestBatchUnderAKeyThatIsGone(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 5)
	f.keyRotated.Store(true)
	w := f.worker("one", serverA)
	batches := f.recorded()
	f.run(t.Context(), "all-1") // under version 2
	batch := f.mustNext(batches)
	f.keyRotated.Store(false)
	w.stop()
	f.worker("two", serverA)
	f.publish(batch.Subject, batch.Data)

	f.eventually("it is given back", func() bool { return f.reports("batch given back: version 2: no such master key version") > 0 })
	f.keyRotated.Store(true) // as by a replica of Vault that was late

	f.settled()
}

func TestForeignResultsAreReportedOnce(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 15)
	f.worker("one", serverA)
	f.once(userOf(3), func(*host) {
		for range 3 {
			f.publish("mr.results.all-1", []byte(`{"settled":{"tenant":"00000000-0000-4000-8000-000000000014","outcome":"rotated"}}`))
		}
	})

	report := f.run(t.Context(), "all-1")

	want(t, report, map[rotator.Outcome]int{rotator.Rotated: 15})
	if n := f.reports("run all-1: a report does not open"); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

func TestForgedStopBeginsNothing(t *testing.T) {
	f := newFleet(t)
	f.add(serverA, 0, 10)
	f.worker("one", serverA)
	runs, err := f.jetStream().KeyValue(t.Context(), "MR_RUNS")
	if err != nil {
		f.open("first") // makes the bucket
		if runs, err = f.jetStream().KeyValue(t.Context(), "MR_RUNS"); err != nil {
			t.Fatal(err)
		}
	}
	stop := strings.Replace(workSubject(serverA, ""), "mr.work.", "all-1.stop.", 1)
	stop = strings.TrimSuffix(stop, ".")
	_, err = runs.PutString(t.Context(), stop, "forged")
	f.must(err)
	wait := f.begin(t.Context(), "all-1", everything, 0)
	f.eventually("it is reported", func() bool { return f.reports("a message in NATS is not one of this fleet's") > 0 })
	f.wantRequests(0)
	f.must(runs.Delete(t.Context(), stop))

	want(t, wait(), map[rotator.Outcome]int{rotator.Rotated: 10})
}

func TestStoreOfNATSHoldsNoSecret(t *testing.T) {
	f := newFleet(t)
	f.realSeals = true
	f.keyRotated.Store(true)
	f.add(serverA, 0, 10)
	f.add(serverB, 20, 10)
	refused := errors.Join(errors.New("PATCH https://mail-b.example/api/v1/user/admin@20.example: 403 Invalid API token"), rotator.ErrServerUnusable)
	f.during(func(c rotatortest.Call) rotatortest.Fault {
		if c.User == userOf(20) {
			return rotatortest.Fault{Before: refused}
		}
		return rotatortest.Fault{}
	})
	f.worker("one", serverA, serverB)
	want(t, f.run(t.Context(), "all-1"), map[rotator.Outcome]int{rotator.Rotated: 10, rotator.Failed: 1, rotator.Blocked: 9})
	f.nats.Stop()

	stored, err := f.nats.StoreBytes()

	if err != nil || !bytes.Contains(stored, []byte("all-1")) {
		t.Fatalf("%d bytes, error %v, want those of a run", len(stored), err)
	}
	secrets := []string{"Password-number-", "example", "Invalid API token", "last_rotated", "old password", string(bytes.Repeat([]byte{2}, crypto.KeySize))}
	for i := range 10 {
		fields, _ := f.store.Get(string(tenant(i)))
		secrets = append(secrets, fields["password"].(string), fields["username"].(string))
	}
	for _, secret := range secrets {
		if at := bytes.Index(stored, []byte(secret)); at >= 0 {
			t.Errorf("the store holds %q: …%q…", secret, stored[max(at-40, 0):min(at+60, len(stored))])
		}
	}
}

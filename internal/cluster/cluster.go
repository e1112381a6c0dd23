// Package cluster spreads the work of a run over several hosts, through NATS JetStream.
//
// Vault stays the truth, and claims stay the fence: NATS carries hints. A planner, the
// process that runs a sweep, publishes the plan in batches of one Mailu server's tenants
// (package rotator/sweep's Assignments). A worker on any host that lists the server takes
// one batch of it at a time, decides again from each record, rotates as on one host, and
// publishes a result for each tenant. JetStream gives a batch to one worker; one whose
// worker died comes back after AckWait, and its tenants when their claims lapse.
//
// What is lost in NATS is planned once more, and what is delivered twice is found done:
// neither rotates a tenant twice, and neither loses a password. All messages are sealed
// with a key that is derived from the master key, which workers hold anyway (package
// crypto's SealMessage): the owner of NATS can delay and replay them, and can read, order
// and report nothing. No message carries a password.
package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

const (
	// requestTimeout bounds each request to NATS.
	requestTimeout = 5 * time.Second
	// keepWork is how long a batch may wait for a worker. Nothing that old is still wanted.
	keepWork = 48 * time.Hour
	// keepResults is how long the results of a run can be followed.
	keepResults = 7 * 24 * time.Hour
	// presenceTTL is how long a worker counts as alive after its last sign.
	presenceTTL = time.Minute
)

// ErrUnreachable: no server of the cluster answers.
var ErrUnreachable = errors.New("NATS does not answer: see cluster.servers; --local rotates without it")

// Config is how to reach a cluster, and how it works.
type Config struct {
	Servers  []string                      // URLs, nats:// or tls://
	TLS      *tls.Config                   // nil: no TLS, unless a URL asks for it
	Seed     func() (crypto.Secret, error) // reads the nkey's seed whenever NATS asks for a signature; nil: no nkey
	Prefix   string                        // of streams, buckets and, in lower case, subjects
	Replicas int                           // of streams and buckets, 1 to 5
	Batch    int                           // tenants in one batch, at least 1
	AckWait  time.Duration                 // how long a batch stays with a worker that is silent
	Announce time.Duration                 // how often a worker says that it is alive; 0: every 15 seconds
	Name     string                        // names this process, unique among hosts and times
	Version  string                        // of this program
	Clock    rotator.Clock
	// Report is called with what an operator may have to look at, such as a lost
	// connection, and with nil when the connection is back.
	Report func(error)
}

// Cluster is a connection to NATS with the streams and buckets of one fleet. It is safe
// for concurrent use. It reconnects by itself for as long as it is open.
type Cluster struct {
	Config
	conn *nats.Conn
	js   jetstream.JetStream
	back chan struct{} // receives when the connection is back
	store
}

// store is what a cluster keeps in NATS. The handles stay valid when that is emptied and
// made anew.
type store struct {
	work    jetstream.Stream
	results jetstream.Stream
	runs    jetstream.KeyValue
	workers jetstream.KeyValue
}

// Open connects, and makes the streams and buckets that do not exist yet. The caller must
// close the cluster.
func Open(ctx context.Context, config Config) (*Cluster, error) {
	c, err := Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	store, err := c.create(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	c.store = store
	return c, nil
}

// Close ends the connection.
func (c *Cluster) Close() { c.conn.Close() }

func (c *Cluster) connect(ctx context.Context) (err error) {
	options := []nats.Option{
		nats.Name("mailu-rotator " + c.Name), nats.Timeout(requestTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(c.disconnected),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.Report(err) }), // such as a missing permission
		nats.ReconnectHandler(func(*nats.Conn) { c.reconnected() }),
		nats.DrainTimeout(requestTimeout),
	}
	if c.TLS != nil {
		options = append(options, nats.Secure(c.TLS))
	}
	if c.Seed != nil {
		option, err := c.nkey()
		if err != nil {
			return err
		}
		options = append(options, option)
	}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, nats.Timeout(min(requestTimeout, time.Until(deadline))))
	}
	if c.conn, err = nats.Connect(strings.Join(c.Servers, ","), options...); err != nil {
		return fmt.Errorf("connect to NATS at %s: %w; %w", strings.Join(c.Servers, ", "), err, ErrUnreachable)
	}
	c.js, err = jetstream.New(c.conn, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		c.conn.Close()
		return fmt.Errorf("use JetStream: %w", err)
	}
	return nil
}

func (c *Cluster) disconnected(conn *nats.Conn, err error) {
	if !conn.IsClosed() {
		c.Report(cmp.Or(err, errors.New("the connection to NATS is lost")))
	}
}

func (c *Cluster) reconnected() {
	c.Report(nil)
	select {
	case c.back <- struct{}{}:
	default: // nobody has received the last one yet
	}
}

// pause sleeps until the connection is back, but for no longer than this. The error is
// that of ctx.
func (c *Cluster) pause(ctx context.Context, length time.Duration) error {
	woken, wake := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-c.back:
			wake()
		case <-woken.Done():
		}
	})
	_ = c.Clock.Sleep(woken, length)
	wake()
	watcher.Wait()
	return ctx.Err()
}

// nkey authenticates with the seed, which is read for each signature and not kept.
func (c *Cluster) nkey() (nats.Option, error) {
	pair := func() (nkeys.KeyPair, error) {
		seed, err := c.Seed()
		if err != nil {
			return nil, err
		}
		defer seed.Wipe()
		pair, err := nkeys.FromSeed(seed.Reveal())
		if err != nil {
			return nil, fmt.Errorf("cluster.nkey_file holds no seed of an nkey: %w", err)
		}
		return pair, nil
	}
	known, err := pair()
	if err != nil {
		return nil, err
	}
	defer known.Wipe()
	public, err := known.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("cluster.nkey_file: %w", err)
	}
	return nats.Nkey(public, func(nonce []byte) ([]byte, error) {
		signer, err := pair()
		if err != nil {
			return nil, err
		}
		defer signer.Wipe()
		return signer.Sign(nonce)
	}), nil
}

// create makes what does not exist yet. It changes nothing that exists, so that a
// process needs no right to change it, and doctor can tell where it differs.
func (c *Cluster) create(ctx context.Context) (s store, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*requestTimeout)
	defer cancel()
	if s.work, err = c.stream(ctx, c.workStream()); err != nil {
		return s, err
	}
	if s.results, err = c.stream(ctx, c.resultStream()); err != nil {
		return s, err
	}
	if s.runs, err = c.bucket(ctx, c.runBucket()); err != nil {
		return s, err
	}
	s.workers, err = c.bucket(ctx, c.workerBucket())
	return s, err
}

func (c *Cluster) workStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: c.Prefix + "_WORK", Description: "batches of tenants to rotate, until a worker has done them",
		Subjects: []string{c.workSubject("*", "*")}, Retention: jetstream.WorkQueuePolicy,
		Storage: jetstream.FileStorage, Replicas: c.Replicas, MaxAge: keepWork,
	}
}

func (c *Cluster) resultStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: c.Prefix + "_RESULTS", Description: "what runs gave to workers, and what these did",
		Subjects: []string{c.resultSubject("*")}, Storage: jetstream.FileStorage, Replicas: c.Replicas, MaxAge: keepResults,
	}
}

func (c *Cluster) runBucket() jetstream.StreamConfig {
	return c.bucketStream("RUNS", "who plans which run, and servers that a run has given up", keepResults)
}

func (c *Cluster) workerBucket() jetstream.StreamConfig {
	return c.bucketStream("WORKERS", "the workers that are alive, and the servers that they list", presenceTTL)
}

// bucketPrefix is what JetStream puts before the name of a bucket to name its stream.
const bucketPrefix = "KV_"

// bucketStream is the stream of a bucket, as JetStream makes it, but for AllowDirect: any
// replica would answer a read, also one that lags behind, and a worker would not know that
// the run has given the server up. Without it only the leader answers.
func (c *Cluster) bucketStream(name, description string, keep time.Duration) jetstream.StreamConfig {
	bucket := c.Prefix + "_" + name
	return jetstream.StreamConfig{
		Name: bucketPrefix + bucket, Description: description, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true,
		Storage: jetstream.FileStorage, Replicas: c.Replicas, MaxAge: keep,
	}
}

// bucketName is the name of the bucket in a stream.
func bucketName(s jetstream.StreamConfig) string { return strings.TrimPrefix(s.Name, bucketPrefix) }

func (c *Cluster) stream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = c.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
			stream, err = c.js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, explain(err))
	}
	return stream, nil
}

func (c *Cluster) bucket(ctx context.Context, want jetstream.StreamConfig) (jetstream.KeyValue, error) {
	if _, err := c.stream(ctx, want); err != nil {
		return nil, err
	}
	bucket, err := c.js.KeyValue(ctx, bucketName(want))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucketName(want), explain(err))
	}
	return bucket, nil
}

// explain adds ErrUnreachable to errors that mean it: they also come while a server
// starts, and while replicas elect a leader.
func explain(err error) error {
	for _, unreachable := range []error{
		nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrNoResponders, nats.ErrNoServers,
		nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrTimeout, context.DeadlineExceeded, jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, unreachable) {
			return fmt.Errorf("%w; %w", err, ErrUnreachable)
		}
	}
	if api, is := errors.AsType[*jetstream.APIError](err); is && api.Code == http.StatusServiceUnavailable {
		return fmt.Errorf("%w; %w", err, ErrUnreachable)
	}
	return err
}

// emptied reports whether an error means that a stream or bucket is gone: somebody
// emptied NATS.
func emptied(err error) bool {
	for _, gone := range []error{
		jetstream.ErrStreamNotFound, jetstream.ErrBucketNotFound, jetstream.ErrNoStreamResponse, jetstream.ErrConsumerNotFound,
		nats.ErrStreamNotFound, // of a list of keys
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// hash names an origin in subjects, where a host name could not stand, and need not be
// read.
func hash(origin rotator.Origin) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:8])
}

func (c *Cluster) workSubject(origin, run string) string {
	return strings.ToLower(c.Prefix) + ".work." + origin + "." + run
}

func (c *Cluster) resultSubject(run string) string {
	return strings.ToLower(c.Prefix) + ".results." + run
}

func stopKey(run, origin string) string { return run + ".stop." + origin }

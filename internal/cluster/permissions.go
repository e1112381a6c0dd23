package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Part is what a process does in a cluster: a daemon does both.
type Part string

// The parts.
const (
	Planner Part = "planner" // plans runs and follows them
	Works   Part = "worker"  // does batches
)

// inbox is where answers arrive.
const inbox = "_INBOX.>"

// Subjects returns the least that NATS must permit a process: what it publishes to and
// what it subscribes to.
func (c *Cluster) Subjects(part Part) (publish, subscribe []string) {
	work, results, runs, workers := c.workStream().Name, c.resultStream().Name, c.runBucket().Name, c.workerBucket().Name
	publish = []string{"$JS.API.INFO", "$JS.API.STREAM.MSG.GET." + runs, c.resultSubject("*")}
	for _, stream := range []string{work, results, runs, workers} {
		publish = append(publish, "$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.CREATE."+stream)
	}
	if part == Works {
		return append(publish,
			"$JS.API.CONSUMER.CREATE."+work+".>", "$JS.API.CONSUMER.MSG.NEXT."+work+".*", "$JS.ACK."+work+".>",
			"$KV."+bucketName(c.workerBucket())+".*", "$KV."+bucketName(c.runBucket())+".*.stop.*",
		), []string{inbox}
	}
	for _, listed := range []string{results, runs, workers} {
		publish = append(publish, "$JS.API.CONSUMER.CREATE."+listed+".>", "$JS.API.CONSUMER.DELETE."+listed+".*")
	}
	return append(publish,
		c.workSubject("*", "*"), "$JS.API.STREAM.PURGE."+work, "$JS.API.STREAM.MSG.GET."+work, "$JS.API.CONSUMER.INFO."+work+".*",
		"$JS.API.CONSUMER.MSG.NEXT."+results+".*", "$KV."+bucketName(c.runBucket())+".*",
		"$JS.API.STREAM.MSG.GET."+workers, "$JS.FC."+runs+".>", "$JS.FC."+workers+".>",
	), []string{inbox}
}

// refused returns those subjects of a part that NATS does not permit this process to
// publish to. Each is sent one message that has no effect: JetStream accepts no request
// of this form, and the message demands to be stored in a stream that does not exist.
func (c *Cluster) refused(ctx context.Context, part Part) (refused []string, err error) {
	publish, _ := c.Subjects(part)
	for _, subject := range publish {
		probe := nats.NewMsg(strings.NewReplacer("*", probed, ">", probed).Replace(subject))
		probe.Data = []byte("{")
		probe.Header.Set(nats.ExpectedStreamHdr, probed)
		no := false
		if err = c.conn.PublishMsg(probe); err == nil {
			no, err = c.violates(ctx, probe.Subject)
		}
		if err != nil {
			return nil, fmt.Errorf("try to publish to %s: %w", subject, err)
		}
		if no {
			refused = append(refused, subject)
		}
	}
	return refused, nil
}

const probed = "doctor"

// violates reports whether NATS refuses the subject that was just used. NATS answers in
// order, and a refusal before what follows it.
func (c *Cluster) violates(ctx context.Context, subject string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.conn.FlushWithContext(ctx); err != nil {
		return false, err
	}
	last := c.conn.LastError()
	return errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`), nil
}

// answersRefused reports whether this process may not receive answers. Then it can do
// nothing at all.
func (c *Cluster) answersRefused(ctx context.Context) (bool, error) {
	subject := nats.NewInbox()
	sub, err := c.conn.SubscribeSync(subject)
	if err != nil {
		return false, fmt.Errorf("try to subscribe to %s: %w", inbox, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it ends with the connection
	return c.violates(ctx, subject)
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator/sweep"
)

// task is the message of the work stream: a batch of a run.
type task struct {
	Run string `json:"run"`
	ID  string `json:"id"` // no other batch of the run has it, whoever plans that
	sweep.Batch
}

// report is the message of the results stream. Exactly one of its parts is set.
type report struct {
	Queued  *task          `json:"queued,omitempty"`  // by the planner, before the batch itself
	Planned *sweep.Order   `json:"planned,omitempty"` // by the planner, after all batches
	Begun   *progress      `json:"begun,omitempty"`   // by a worker
	Settled *sweep.Settled `json:"settled,omitempty"` // likewise, one for each tenant
	Done    *progress      `json:"done,omitempty"`    // likewise: all tenants of a batch are settled
}

type progress struct {
	Batch  string `json:"batch"`
	Worker string `json:"worker"`
}

// runState is the value of a run's key: who plans it, and how far that is. Only this
// program's own names and times are in it, so it is not sealed.
type runState struct {
	Planner string `json:"planner"`
	State   string `json:"state"`
}

// The states of a run.
const (
	statePlanning  = "planning"  // the planner reads the fleet
	statePublished = "published" // all batches are in NATS
	stateWithdrawn = "withdrawn" // nothing more of it may begin
)

// errForeign: a message is not from a process that holds the master key.
var errForeign = errors.New("a message in NATS is not one of this fleet's: it was altered, or somebody else writes there")

// sealer seals and opens the messages of one run, all under one version of the master key,
// so that its planner can read what workers report after the key was rotated.
type sealer struct {
	keys    *crypto.Keyring
	version crypto.KeyVersion
}

// seal encodes a message for a subject.
func (s sealer) seal(subject string, message any) ([]byte, error) {
	plain, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return s.keys.SealMessage(s.version, subject, plain)
}

// unseal decodes a message of a subject, and returns the sealer of its run. The error is
// errForeign, or [crypto.ErrNoKey] for a key that is newer than these.
func unseal(keys *crypto.Keyring, subject string, data []byte, message any) (sealer, error) {
	plain, version, err := keys.OpenMessage(subject, data)
	switch {
	case errors.Is(err, crypto.ErrMessage):
		return sealer{}, errForeign
	case errors.Is(err, crypto.ErrNoKey) && version < keys.Newest().Version:
		return sealer{}, fmt.Errorf("%w: %w", errForeign, err) // no session will have it again
	case err != nil:
		return sealer{}, err
	}
	if err := json.Unmarshal(plain, message); err != nil {
		return sealer{}, fmt.Errorf("%w, or of another release: %w", errForeign, err)
	}
	return sealer{keys, version}, nil
}

// tell publishes a report of a run. id makes repetitions of the same report one message.
func (c *Cluster) tell(ctx context.Context, s sealer, run, id string, r report) error {
	return c.publish(ctx, s, c.resultSubject(run), run+"."+id, r)
}

// enqueue publishes a batch: first its report, so that a follower knows of it, then the
// work.
func (c *Cluster) enqueue(ctx context.Context, s sealer, t task) error {
	id := "batch." + t.ID
	if err := c.tell(ctx, s, t.Run, id, report{Queued: &t}); err != nil {
		return err
	}
	return c.publish(ctx, s, c.workSubject(hash(t.Origin), t.Run), t.Run+"."+id, t)
}

func (c *Cluster) publish(ctx context.Context, s sealer, subject, id string, message any) error {
	data, err := s.seal(subject, message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.js.Publish(ctx, subject, data, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, explain(err))
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"time"

	"mailu-rotator/mailu/mailutest"
)

// The observed cost of a hashing in Mailu, the cost on a slow server, and the program's
// limit of concurrent requests per server.
const (
	hashing       = 300 * time.Millisecond
	slowHashing   = 100 * hashing
	maxConcurrent = 2
	mailuToken    = mailutest.DefaultToken
)

// mailuTask configures the Mailu servers. Unless Rounds is set, they wait for the cost
// of a hashing and do not compute it: they stand for other machines.
type mailuTask struct {
	Servers int           `json:"servers"`
	Hashing time.Duration `json:"hashing"`
	Users   int           `json:"users"`  // of all servers, distributed in turn
	Slow    int           `json:"slow"`   // number of additional servers that take a hundred times as long
	Rounds  int           `json:"rounds"` // of bcrypt, which they do compute; 0: the minimum
}

// playMailu runs Mailu servers until the process is ended.
func playMailu(ctx context.Context, text []byte) error {
	var task mailuTask
	if err := json.Unmarshal(text, &task); err != nil {
		return err
	}
	var origins []string
	for i := range task.Servers + task.Slow {
		server, err := task.start(i)
		if err != nil {
			return err
		}
		defer server.Close()
		origins = append(origins, server.Origin())
	}
	if err := tell("ready", origins); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start starts one of the servers with its users; a slow one has all of theirs.
func (t mailuTask) start(i int) (*mailutest.Server, error) {
	// bcrypt's minimum is 4 rounds: a millisecond.
	config := mailutest.Config{Rounds: max(t.Rounds, 4), HashDelay: t.Hashing, Workers: maxConcurrent}
	first, end, step := i, t.Users, t.Servers
	if i >= t.Servers {
		config.HashDelay = slowHashing
		first, end, step = t.Users, t.Users+slowTenants*t.Slow, 1
	}
	server, err := mailutest.Start(config)
	if err != nil {
		return nil, err
	}
	for user := first; user < end; user += step {
		server.AddUserHash(userOf(user), "$none$")
	}
	return server, nil
}

// startMailus starts Mailu servers in a separate process and returns their origins. The
// caller must kill it.
func (s *stage) startMailus(ctx context.Context, task mailuTask) (p *process, origins []string, err error) {
	if p, err = s.startRole("mailu", task); err != nil {
		return nil, nil, err
	}
	ready, _, err := p.await(ctx, 0, named("ready"))
	if err == nil {
		err = json.Unmarshal(ready.Of, &origins)
	}
	if err != nil {
		p.kill()
	}
	return p, origins, err
}

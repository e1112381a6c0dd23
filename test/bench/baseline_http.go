package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// baselineTask is a bare client's task: the same requests as the program's, with the same
// concurrency, and nothing else.
type baselineTask struct {
	Vault     string `json:"vault"`
	TokenFile string `json:"token_file"`
	Prefix    string `json:"prefix"`
}

// baselineClient sends plain HTTP requests.
type baselineClient struct {
	task  baselineTask
	http  *http.Client
	token string
}

func newBaselineHTTP() *http.Client {
	return &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers, DisableCompression: true,
	}}
}

func newBaselineClient(text []byte) (*baselineClient, error) {
	c := &baselineClient{http: newBaselineHTTP()}
	if err := json.Unmarshal(text, &c.task); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(c.task.TokenFile)
	c.token = strings.TrimSpace(string(token))
	return c, err
}

// playScan lists the tenants and reads every record to its end without parsing it.
func playScan(ctx context.Context, text []byte) error {
	c, err := newBaselineClient(text)
	if err != nil {
		return err
	}
	return c.forEach(ctx, func(ctx context.Context, path string) error {
		return c.do(ctx, http.MethodGet, path, nil, func(body io.Reader) error {
			_, err := io.Copy(io.Discard, body)
			return err
		})
	})
}

// playRotate does for each record what a rotation does: one read and two check-and-set
// writes, the first with a pending password.
func playRotate(ctx context.Context, text []byte) error {
	c, err := newBaselineClient(text)
	if err != nil {
		return err
	}
	return c.forEach(ctx, func(ctx context.Context, path string) error {
		var read struct {
			Data struct {
				Data     json.RawMessage
				Metadata struct{ Version int }
			}
		}
		if err := c.do(ctx, http.MethodGet, path, nil, func(body io.Reader) error { return json.NewDecoder(body).Decode(&read) }); err != nil {
			return err
		}
		fields, version := read.Data.Data, read.Data.Metadata.Version
		for i, data := range [][]byte{withPending(fields), fields} {
			body := fmt.Appendf(nil, `{"options":{"cas":%d},"data":%s}`, version+i, data)
			if err := c.do(ctx, http.MethodPut, path, body, func(body io.Reader) error {
				_, err := io.Copy(io.Discard, body)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// withPending is a record with the fields that the program writes first, of the same
// size.
func withPending(fields []byte) []byte {
	const pending = `,"pending":{"claimed_until":"2026-01-02T03:09:05.678Z","key_version":1,"last_rotated":"2026-01-02T03:04:05.678Z",` +
		`"owner":"ops.example.com/12345/0123abcd","password":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw=="}}`
	return append(bytes.TrimSuffix(bytes.Clone(fields), []byte("}")), pending...)
}

// forEach lists the tenants and handles each, with limited concurrency. It reports
// begin and end in the program's words.
func (c *baselineClient) forEach(ctx context.Context, do func(ctx context.Context, path string) error) error {
	if err := tell("sweep started", nil); err != nil {
		return err
	}
	var list struct {
		Data struct{ Keys []string }
	}
	err := c.do(ctx, http.MethodGet, "metadata/"+c.task.Prefix+"?list=true", nil, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&list)
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, name := range list.Data.Keys {
		group.Go(func() error { return do(ctx, "data/"+c.task.Prefix+"/"+name+"admin") })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return tell("sweep finished", nil)
}

func (c *baselineClient) do(ctx context.Context, method, path string, body []byte, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, c.task.Vault+"/v1/vault/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if err := read(resp.Body); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body) // read to its end, so that the connection is reused
	return err
}

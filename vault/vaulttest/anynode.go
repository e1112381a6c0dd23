package vaulttest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/vault/api"
)

// Client returns a client with the root token that is answered as long as the cluster has a
// leader, or will have one within a minute. It repeats requests, also writes.
func (c *Cluster) Client() (*api.Client, error) {
	client, err := c.Nodes[0].Client()
	if err != nil {
		return nil, err
	}
	config := client.CloneConfig()
	config.HttpClient = &http.Client{Transport: &anyNode{cluster: c, through: newHTTPClient(c.CAs).Transport}}
	config.Timeout = time.Minute
	patient, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	patient.SetHeaders(client.Headers())
	patient.SetToken(c.RootToken)
	patient.SetWrappingLookupFunc(func(string, string) string { return "" })
	return patient, nil
}

// anyNode is [Cluster.Client] for a node of a cluster, which may lose its leader at any
// time on a loaded machine; else [Server.Client].
func (s *Server) anyNode() (*api.Client, error) {
	if s.node == nil {
		return s.Client()
	}
	return s.node.cluster.Client()
}

// anyNode asks one node after the other until one serves.
type anyNode struct {
	cluster *Cluster
	through http.RoundTripper
}

func (a *anyNode) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		read, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
		body = read
	}
	for {
		for _, s := range a.cluster.Nodes {
			if resp, err := a.ask(req, body, s); err == nil {
				return resp, nil
			}
		}
		if err := shortPause(req.Context()); err != nil {
			return nil, err
		}
	}
}

// ask returns a whole answer of the node, or an error if it does not serve.
func (a *anyNode) ask(req *http.Request, body []byte, s *Server) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), 3*time.Second)
	defer cancel()
	at, err := url.Parse(s.Addr)
	if err != nil {
		return nil, err
	}
	moved := req.Clone(ctx)
	moved.URL.Scheme, moved.URL.Host, moved.Host = at.Scheme, at.Host, ""
	moved.Body, moved.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := a.through.RoundTrip(moved)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode >= 500) {
		err = &url.Error{Op: req.Method, URL: req.URL.Path, Err: http.ErrNotSupported}
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, err
}

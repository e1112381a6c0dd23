package mailutest

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Server is a running Mailu admin. Its methods may be called from any goroutine.
type Server struct {
	config    Config
	origin    string
	authority authority // zero without TLS
	caFile    string
	http      *http.Server
	limiter   *limiter
	workers   chan struct{} // each token in it is a request being handled
	closing   chan struct{} // closed by Close: ends what hangs, drips or waits
	running   sync.WaitGroup
	lateEnded *sync.Cond // on mu
	closeOnce sync.Once

	// mu guards the fields below.
	mu          sync.Mutex
	closed      bool
	token       string
	users       map[string]*user
	domains     map[string]*domain
	logins      map[string][]bool   // by address: which logins were accepted
	wrong       map[string][]string // by address: the wrong passwords of mail logins
	exempt      []string            // clients that no limit applies to
	faults      []*armed
	late        int // effects still to come
	requests    []*Request
	inFlight    int
	maxInFlight int
}

// Start runs a server until Close.
func Start(config Config) (*Server, error) {
	config = config.withDefaults()
	if config.Rounds < bcrypt.MinCost || config.Rounds > bcrypt.MaxCost {
		return nil, fmt.Errorf("start mailu: %w", bcrypt.InvalidCostError(config.Rounds))
	}
	s := &Server{
		config:  config,
		limiter: newLimiter(config),
		workers: make(chan struct{}, config.Workers),
		closing: make(chan struct{}),
		token:   config.Token,
		users:   map[string]*user{},
		domains: map[string]*domain{},
		logins:  map[string][]bool{},
		wrong:   map[string][]string{},
	}
	s.lateEnded = sync.NewCond(&s.mu)
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return nil, fmt.Errorf("start mailu: %w", err)
	}
	s.origin = "http://" + listener.Addr().String()
	// Hijacking, which the resets need, works only with HTTP/1, so no other protocol is enabled.
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), Protocols: new(http.Protocols)}
	// Tests may refuse the certificate on purpose.
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.http.Protocols.SetHTTP1(true)
	if config.TLS {
		if listener, err = s.encrypt(listener); err != nil {
			return nil, err
		}
	}
	s.answer(listener)
	return s, nil
}

func (s *Server) answer(listener net.Listener) {
	s.running.Go(func() {
		// Serve ends with Close, which reports any error.
		_ = s.http.Serve(listener)
	})
}

// AddHostname gives the server one more origin, like one more name in HOSTNAMES: all of them lead to the same admin,
// with the same users and the same token. It returns the origin.
func (s *Server) AddHostname() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("add a hostname to mailu: %w", err)
	}
	scheme := "http://"
	origin := listener.Addr().String()
	if s.config.TLS {
		scheme, listener = "https://", s.authority.listener(listener)
	}
	s.answer(listener)
	return scheme + origin, nil
}

// Close ends the server: it cuts connections, releases hanging requests and drops late effects. It returns when nothing
// of the server is running. Closing twice is allowed.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.closing)
		// The listener is closed in any case.
		_ = s.http.Close()
		s.running.Wait()
		s.Settle()
		if s.caFile != "" {
			_ = os.Remove(s.caFile)
		}
	})
}

// Origin is scheme, host and port as in a webmail_url, such as "https://127.0.0.1:40123".
func (s *Server) Origin() string { return s.origin }

// CAPEM is the CA certificate of a TLS server, nil without TLS.
func (s *Server) CAPEM() []byte { return s.authority.pem }

// CAFile is a file with CAPEM that exists until Close, "" without TLS.
func (s *Server) CAFile() string { return s.caFile }

// Token is the current API token.
func (s *Server) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// SetToken changes the API token, like a restart of the admin with another API_TOKEN. With "" the API answers an HTML
// 500 to everything.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	entry, open := s.arrive(r)
	if !open {
		panic(http.ErrAbortHandler)
	}
	defer s.leave()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := call{request: r, body: body, entry: entry}
	if fault, found := s.nextFault(r); found {
		s.perform(w, c, fault)
		return
	}
	s.send(w, c, s.handle(c))
}

func (s *Server) encrypt(plain net.Listener) (net.Listener, error) {
	certified, err := newAuthority()
	if err != nil {
		return nil, fmt.Errorf("start mailu: %w", err)
	}
	file, err := os.CreateTemp("", "mailutest-ca-*.pem")
	if err != nil {
		return nil, fmt.Errorf("start mailu: %w", err)
	}
	if _, err = file.Write(certified.pem); err != nil {
		return nil, fmt.Errorf("start mailu: %w", err)
	}
	if err = file.Close(); err != nil {
		return nil, fmt.Errorf("start mailu: %w", err)
	}
	s.authority, s.caFile = certified, file.Name()
	s.origin = "https://" + plain.Addr().String()
	return certified.listener(plain), nil
}

package mailutest

import "testing"

// Run starts a server for one test and closes it when the test ends. The default of Rounds is 4 here, so that hashing
// is cheap.
func Run(tb testing.TB, config Config) *Server {
	tb.Helper()
	if config.Rounds == 0 {
		config.Rounds = 4
	}
	server, err := Start(config)
	if err != nil {
		tb.Fatalf("run mailutest: %v", err)
	}
	tb.Cleanup(server.Close)
	return server
}

package vault

import "testing"

// Many requests are under way when a node is lost, and each of them notices.
func TestANodeIsLeftOnceForAllItsRequests(t *testing.T) {
	n := newNodes(Config{Address: "http://127.0.0.1:1", OtherAddresses: []string{"http://127.0.0.1:2", "http://127.0.0.1:3"}}.withDefaults(), nil)
	lost := n.get(t.Context())
	n.leave(lost)
	next := n.get(t.Context())

	n.leave(lost)

	if got := n.get(t.Context()); next == lost || got != next {
		t.Errorf("the second request that fails at %s leaves %s for %s", lost, next, got)
	}
}

package vault

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// An answer that asks the client to wait, or to ask another node, is not a refusal.
func TestOnlyAnAnswerForGoodIsForbidden(t *testing.T) {
	for status, forbidden := range map[int]bool{
		400: true, 403: true, 404: true, 405: true,
		408: false, 412: false, 429: false, 472: false, 473: false, 500: false, 502: false, 503: false,
	} {
		err := forbid(fmt.Errorf("log in: %w", &api.ResponseError{StatusCode: status}))

		if errors.Is(err, rotator.ErrForbidden) != forbidden {
			t.Errorf("status %d: forbidden %t, want %t", status, !forbidden, forbidden)
		}
	}
	if err := forbid(&url.Error{Op: "Put", Err: context.DeadlineExceeded}); errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("silence is a refusal: %v", err)
	}
}

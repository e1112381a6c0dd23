package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// List yields the names of all entries under the prefix while Vault's answer arrives:
// folders, which are tenants, and also plain records, so that the caller can report
// what does not belong there. Each name comes once. A list that ends early, by a lost
// connection or in the middle of its JSON, yields an error, and so does one without
// entries: [rotator.ErrNoTenants].
//
// After the first name List does not retry, so no name comes twice. Consume promptly:
// the whole answer shares the time limit of one try.
func (c *Client) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		found := false
		err := c.list(ctx, func(name string) bool {
			found = true
			return yield(name, nil)
		})
		switch {
		case errors.Is(err, errEnough):
		case err != nil:
			yield("", err)
		case !found:
			yield("", fmt.Errorf("list %s/: %w: check the prefix %q of mount %q and the namespace %q", listPath(c.cfg), rotator.ErrNoTenants, c.cfg.Prefix, c.cfg.Mount, c.cfg.Namespace))
		}
	}
}

// errEnough ends a list when the consumer stops.
var errEnough = errors.New("enough")

// list passes on folders as they arrive. A plain record may be a folder too, so it is
// held back until the end. In the order of most stores its folder comes later in the
// list; for other orders, a second list decides.
func (c *Client) list(ctx context.Context, take func(string) bool) error {
	records, sorted, last := map[string]bool{}, true, ""
	err := c.listEntries(ctx, func(entry string) bool {
		sorted, last = sorted && last < entry, entry
		name, folder := strings.CutSuffix(entry, "/")
		if !folder {
			records[name] = true
			return true
		}
		delete(records, name)
		return take(name)
	})
	if err == nil && !sorted && len(records) > 0 {
		err = c.listEntries(ctx, func(entry string) bool {
			if name, folder := strings.CutSuffix(entry, "/"); folder {
				delete(records, name)
			}
			return true
		})
	}
	if err != nil {
		return err
	}
	for name := range records {
		if !take(name) {
			return errEnough
		}
	}
	return nil
}

func (c *Client) listEntries(ctx context.Context, take func(string) bool) error {
	path := listPath(c.cfg)
	return c.do(ctx, call{
		verb: "list", path: path + "/",
		rule: listRule(c.cfg), capability: "list",
	}, func(ctx context.Context, client *api.Client) error {
		resp, err := client.Logical().ReadRawWithDataWithContext(ctx, path, url.Values{"list": {"true"}})
		if resp != nil {
			defer resp.Body.Close()
		}
		if statusOf(err) == 404 && isVaults(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return keysOf(resp.Body, take)
	})
}

// keysOf passes on the keys of a list answer, one by one. It reads the answer to its
// end, because half a list must not pass for a whole one.
func keysOf(body io.Reader, take func(string) bool) error {
	answer := listAnswer{json.NewDecoder(body)}
	found := false
	err := answer.object(func(field string) error {
		if field != "data" {
			return answer.skip()
		}
		return answer.object(func(field string) error {
			switch {
			case field != "keys":
				return answer.skip()
			case found:
				return errors.New("vault's answer has two lists of keys")
			}
			found = true
			return answer.strings(take)
		})
	})
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("vault's answer breaks off: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return err
	case !found:
		return errNoKeys
	}
	if _, err = answer.Token(); errors.Is(err, io.EOF) {
		return nil
	}
	return cmp.Or(err, errors.New("vault's answer goes on after its end"))
}

var errNoKeys = errors.New("vault's answer has no list of keys")

// listAnswer is Vault's JSON as a stream. Its methods return io.EOF for an answer that
// ends early.
type listAnswer struct{ *json.Decoder }

// object calls value for each field of an object; value must read the field's value.
func (a listAnswer) object(value func(field string) error) error {
	if err := a.expect('{'); err != nil {
		return err
	}
	for a.More() {
		field, err := a.Token()
		if err != nil {
			return err
		}
		if err := value(field.(string)); err != nil { // the decoder returns no other type for a field name
			return err
		}
	}
	return a.expect('}')
}

// strings calls take for each element of an array.
func (a listAnswer) strings(take func(string) bool) error {
	if err := a.expect('['); err != nil {
		return err
	}
	for a.More() {
		element, err := a.Token()
		if err != nil {
			return err
		}
		key, ok := element.(string)
		if !ok {
			return errors.New("vault's list holds something that is not a name")
		}
		if !take(key) {
			return errEnough
		}
	}
	return a.expect(']')
}

func (a listAnswer) skip() error { return a.Decode(new(json.RawMessage)) }

func (a listAnswer) expect(want json.Delim) error {
	got, err := a.Token()
	if err == nil && got != want {
		return errNoKeys
	}
	return err
}

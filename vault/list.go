package vault

import (
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

// List yields the names of all entries under the prefix while Vault's answer
// arrives: folders, which is what tenants are, and also plain records, so that
// whatever does not belong there is reported. Each comes once. A list that ends
// early, by a lost connection or in the middle of its JSON, yields an error, and
// so does one without entries: [rotator.ErrNoTenants].
//
// Once a name was yielded nothing is tried again, so none comes twice. Whoever
// ranges over it must not dawdle: the answer as a whole has the time of one try.
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

// errEnough ends a list that nobody wants to hear more of.
var errEnough = errors.New("enough")

// list takes what is a folder as it comes. A plain record may be a folder too:
// it waits for the end. In the order of most stores its folder is still to come
// then; where the order is another one, a second list tells.
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
		if isAbsence(err) && isVaults(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return keysOf(resp.Body, take)
	})
}

// keysOf passes on the keys of an answer to a list, one by one. It reads the
// answer to its very end, because half of a list must not pass for a whole one.
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
	case err != nil:
		return err
	case !found:
		return errNoKeys
	}
	_, err = answer.Token()
	switch {
	case err == nil:
		return errors.New("vault's answer goes on after its end")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

var errNoKeys = errors.New("vault's answer has no list of keys")

// listAnswer is Vault's JSON on its way.
type listAnswer struct{ *json.Decoder }

// object hands each field of an object to value, which has to read it.
func (a listAnswer) object(value func(field string) error) error {
	if err := a.expect(json.Delim('{')); err != nil {
		return err
	}
	for a.More() {
		field, err := a.next()
		if err != nil {
			return err
		}
		if err := value(field.(string)); err != nil { // the decoder takes nothing else for a field
			return err
		}
	}
	return a.expect(json.Delim('}'))
}

// strings hands each element of an array to take.
func (a listAnswer) strings(take func(string) bool) error {
	if err := a.expect(json.Delim('[')); err != nil {
		return err
	}
	for a.More() {
		element, err := a.next()
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
	return a.expect(json.Delim(']'))
}

func (a listAnswer) skip() error {
	var value json.RawMessage
	return complete(a.Decode(&value))
}

func (a listAnswer) expect(want json.Delim) error {
	got, err := a.next()
	if err == nil && got != want {
		return errNoKeys
	}
	return err
}

func (a listAnswer) next() (json.Token, error) {
	token, err := a.Token()
	return token, complete(err)
}

// complete tells an answer that ends early from one that has ended.
func complete(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("vault's answer breaks off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

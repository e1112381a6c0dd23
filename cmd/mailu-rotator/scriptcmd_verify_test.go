package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdHolds changes what Mailu holds for a tenant, without Vault's knowledge:
//
//	holds acme by-hand    a password that Vault has never held
//	holds acme first      the seeded one
//	holds acme begun      the pending one
//	holds acme foreign    the seeded one, under a hash that an import left
//	holds acme nobody     the user is gone
func cmdHolds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: holds tenant by-hand|first|begun|foreign|nobody")
	}
	s, t := siteOf(ts), tenantOf(ts, args[0])
	switch args[1] {
	case "by-hand":
		s.ledger.addToken("password set by hand of "+t.name, byHand(t))
		t.mailu.AddUser(t.user, byHand(t))
	case "first":
		t.mailu.AddUser(t.user, t.first)
	case "begun":
		t.mailu.AddUser(t.user, t.begun)
	case "foreign":
		t.mailu.AddUserHash(t.user, "{SHA512-CRYPT}$6$saltsaltsaltsalt$"+strings.Repeat("x", 86))
	case "nobody":
		t.mailu.DeleteUser(t.user)
	default:
		ts.Fatalf("unknown: holds %v", args)
	}
}

func byHand(t *tenant) string { return "Set-by-hand-for-" + t.id }

func tenantOf(ts *testscript.TestScript, name string) *tenant {
	t := siteOf(ts).tenants[name]
	if t == nil {
		ts.Fatalf("no tenant %s was seeded", name)
	}
	return t
}

// cmdHistory changes a record as an operator can:
//
//	history acme begin          a dead process leaves a pending password
//	history acme overwrite N    version N as a whole becomes the newest
//	history acme delete         the newest version is deleted
//	history acme set K V        another field
//	history acme from N         versions before N hold what no key opens: they are not checked
//	history acme patch JSON     a merge patch, as vault kv patch -method=patch sends one
func cmdHistory(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: history tenant begin|overwrite|delete|set [arg...]")
	}
	s, t, ctx := siteOf(ts), tenantOf(ts, args[0]), context.Background()
	switch {
	case args[1] == "begin" && len(args) == 2:
		pending, err := s.pending(ctx, t, "dead")
		ts.Check(err)
		ts.Check(s.edit(ctx, t, 0, func(fields map[string]any) { fields["pending"] = pending }))
	case args[1] == "overwrite" && len(args) == 3:
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		ts.Check(s.edit(ctx, t, n, func(map[string]any) {}))
	case args[1] == "delete" && len(args) == 2:
		l := s.layout()
		ts.Check(s.root.KVv2(l.Mount).Delete(ctx, l.Path(t.id)))
	case args[1] == "set" && len(args) == 4:
		ts.Check(s.edit(ctx, t, 0, func(fields map[string]any) { fields[args[2]] = args[3] }))
	case args[1] == "from" && len(args) == 3:
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		t.version = n
	case args[1] == "patch" && len(args) == 3:
		ts.Check(s.mergePatch(ctx, t, args[2]))
	default:
		ts.Fatalf("unknown: history %v", args)
	}
}

func (s *site) mergePatch(ctx context.Context, t *tenant, text string) error {
	var patch map[string]any
	if err := json.Unmarshal([]byte(text), &patch); err != nil {
		return err
	}
	l := s.layout()
	_, err := s.root.Logical().JSONMergePatch(ctx, l.Mount+"/data/"+l.Path(t.id), map[string]any{"data": patch})
	t.version++
	return err
}

// edit writes a changed copy of version n (0: the newest) as the newest version.
func (s *site) edit(ctx context.Context, t *tenant, n int, change func(map[string]any)) error {
	l := s.layout()
	secret, err := s.root.KVv2(l.Mount).GetVersion(ctx, l.Path(t.id), n)
	if err != nil {
		return err
	}
	change(secret.Data)
	return s.store(ctx, t, secret.Data)
}

// cmdAgree checks that a tenant is at rest with exactly this password in Vault and
// Mailu:
//
//	agree acme first|begun
func cmdAgree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agree tenant first|begun")
	}
	t := tenantOf(ts, args[0])
	want, known := map[string]string{"first": t.first, "begun": t.begun}[args[1]]
	if !known || want == "" {
		ts.Fatalf("%s has no %s password", t.name, args[1])
	}
	ts.Check(siteOf(ts).agree(context.Background(), t, want))
}

func (s *site) agree(ctx context.Context, t *tenant, want string) error {
	h, err := s.settled(ctx, t)
	if err != nil {
		return err
	}
	if h.current != want {
		return fmt.Errorf("vault holds another password of %s than the one wanted, and mailu accepts it", t.name)
	}
	return nil
}

package rotator_test

import (
	"slices"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestARosterIsReadByTheNamesOfItsColumns(t *testing.T) {
	const roster = "\ufeffpolicy, webmail_url ,user,tenant\r\n" +
		"30_days,https://mail.a.example,admin@a.example," + t1 + "\r\n" +
		"\r\n" +
		",\"https://mail.b.example/?a=1,2\", admin@b.example ,\r\n"

	got, err := rotator.ReadRoster(strings.NewReader(roster))

	want := []rotator.Addition{
		{Line: 2, Policy: "30_days", WebmailURL: "https://mail.a.example", Username: "admin@a.example", Tenant: t1},
		{Line: 4, WebmailURL: "https://mail.b.example/?a=1,2", Username: "admin@b.example"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatIsWrongWithARoster(t *testing.T) {
	tests := []struct {
		name, roster string
		complaints   []string
	}{
		{"nothing", "", []string{"empty: the first line names the columns"}},
		{"names alone", "user,webmail_url\n", []string{"no tenant below"}},
		{"no names", "admin@a.example,https://mail.a.example\n", []string{`unknown column "admin@a.example"`, `no column "user"`, `no column "webmail_url"`}},
		{"a name twice", "user,webmail_url,user\na,b,c\n", []string{`line 1: column "user" comes twice`}},
		{"too few and too many", "user,webmail_url\na\na,b\na,b,c\n", []string{"line 2: 1 values for 2 columns", "line 4: 3 values for 2 columns"}},
		{"a quote amiss", "user,webmail_url\na,b\n\"a,b\n", []string{"line 3"}},
		{"too long", "user,webmail_url\n" + strings.Repeat("a,b\n", 100_001), []string{"more than 100000 tenants"}},
		{"too large", strings.Repeat("x", 16<<20+1), []string{"larger than 16 MiB"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rotator.ReadRoster(strings.NewReader(test.roster))

			if err == nil || got != nil {
				t.Fatalf("got %v, %v", got, err)
			}
			for _, complaint := range test.complaints {
				if !strings.Contains(err.Error(), complaint) {
					t.Errorf("got %v, want %q", err, complaint)
				}
			}
		})
	}
}

// Whatever is read has a line of its own, in order, and values without white
// space around them; and nothing makes the reader panic.
func FuzzReadRoster(f *testing.F) {
	f.Add("user,webmail_url\nadmin@a.example,https://mail.a.example\n")
	f.Add("tenant,policy,user,webmail_url\n" + t1 + ",manual,a@a.example,https://a\n\n,,b@b.example,https://b\n")
	f.Add("\ufeffuser,webmail_url\n\"a\nb\",\"c\"\"d\"\n")
	f.Add("user,webmail_url\na\n\"")
	f.Fuzz(func(t *testing.T, roster string) {
		additions, err := rotator.ReadRoster(strings.NewReader(roster))
		if (err == nil) != (len(additions) > 0) {
			t.Fatalf("%d additions and error %v", len(additions), err)
		}
		last := 1
		for _, a := range additions {
			if a.Line <= last || a.Line > strings.Count(roster, "\n")+1 {
				t.Errorf("line %d after line %d", a.Line, last)
			}
			last = a.Line
			if text := a.Username + a.WebmailURL + a.Policy + string(a.Tenant); a.Username != strings.TrimSpace(a.Username) || len(text) > len(roster) {
				t.Errorf("read %+v", a)
			}
		}
	})
}

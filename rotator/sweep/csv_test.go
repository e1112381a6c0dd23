package sweep_test

import (
	"slices"
	"strings"
	"testing"

	"mailu-rotator/rotator/sweep"
)

func TestCSVIsReadByTheNamesOfItsColumns(t *testing.T) {
	const lines = "\ufeffpolicy, webmail_url ,user,tenant\r\n" +
		"30_days,https://mail.a.example,admin@a.example," + t1 + "\r\n" +
		"\r\n" +
		",\"https://mail.b.example/?a=1,2\", admin@b.example ,\r\n"

	got, err := sweep.ReadCSV(strings.NewReader(lines))

	want := []sweep.Addition{
		{Line: 2, Policy: "30_days", WebmailURL: "https://mail.a.example", Username: "admin@a.example", Tenant: t1},
		{Line: 4, WebmailURL: "https://mail.b.example/?a=1,2", Username: "admin@b.example"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCSVIsReadAsSpreadsheetsWriteIt(t *testing.T) {
	plain := []sweep.Addition{
		{Line: 2, Username: "a@a.example", WebmailURL: "https://a.example", Policy: "30_days"},
		{Line: 3, Username: "b@b.example", WebmailURL: "https://b.example/?x=1;2"},
	}
	below := func(lines int) []sweep.Addition {
		moved := slices.Clone(plain)
		for i := range moved {
			moved[i].Line += lines
		}
		return moved
	}
	const commas = "user,webmail_url,policy\na@a.example,https://a.example,30_days\nb@b.example,https://b.example/?x=1;2,\n"
	semicolons := "user;webmail_url;policy\na@a.example;https://a.example;30_days\nb@b.example;\"https://b.example/?x=1;2\";\n"
	tabs := strings.ReplaceAll(commas, ",", "\t")
	crlf := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	tests := []struct {
		name, lines string
		want        []sweep.Addition
	}{
		{"commas", commas, plain},
		{"semicolons, with a byte order mark and CRLF", "\ufeff" + crlf(semicolons), plain},
		{"tabs", crlf(tabs), plain},
		{"sep=;", crlf("sep=;\n" + semicolons), below(1)},
		{"SEP=, behind a byte order mark", "\ufeffSEP=,\n" + commas, below(1)},
		{"a quoted and filled sep", "\"sep=;\";;\n" + semicolons, below(1)},
		{"sep and a tab", "sep=\t\n" + tabs, below(1)},
		{"sep=|", "sep=|\n" + strings.ReplaceAll(commas, ",", "|"), below(1)},
		{"capitals", strings.Replace(commas, "user,webmail_url,policy", "User,Webmail_URL,POLICY", 1), plain},
		{"names within no-break spaces", strings.Replace(commas, "user,", "\u00a0user\u00a0,", 1), plain},
		{"values within no-break spaces and tabs", strings.Replace(commas, "a@a.example", " \u00a0a@a.example\u00a0", 1), plain},
		{"lines without values", commas + ",,\n , ,\n\n,,,,,\n", plain},
		{"lines without values before the names", ",,\n\n" + commas, below(2)},
		{"columns without names", "user,webmail_url,,policy,,\na@a.example,https://a.example,,30_days,,\nb@b.example,https://b.example/?x=1;2,, ,,\n", plain},
		{"separators at the ends of lines", strings.ReplaceAll(commas, "\n", ",,\n"), plain},
		{"separators missing at the ends of lines", strings.Replace(commas, "x=1;2,", "x=1;2", 1), plain},
		{"lines that end in CR", strings.ReplaceAll(commas, "\n", "\r"), plain},
		{"a line break within quotes", strings.Replace(commas, "a@a.example", "\"a@a.example\n\"", 1), []sweep.Addition{plain[0], below(1)[1]}},
		{"no line break at the end", strings.TrimSuffix(commas, "\n"), plain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := sweep.ReadCSV(strings.NewReader(test.lines))

			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// utf16 encodes ASCII: one of the two bytes of a character is zero.
func utf16(text, before, after string) string {
	var out strings.Builder
	for _, r := range text {
		out.WriteString(before + string(r) + after)
	}
	return out.String()
}

func TestWhatIsWrongWithCSV(t *testing.T) {
	tests := []struct {
		name, lines string
		complaints  []string
	}{
		{"nothing", "", []string{"empty: the first line names the columns"}},
		{"names alone", "user,webmail_url\n", []string{"no tenant below"}},
		{"no names", "admin@a.example,https://mail.a.example\n", []string{`unknown column "admin@a.example"`, `no column "user"`, `no column "webmail_url"`}},
		{"empty lines alone", "\r\n\r\n,,\r\n", []string{"empty: the first line names the columns"}},
		{"UTF-16, little-endian", "\xff\xfe" + utf16("user\twebmail_url\r\n", "", "\x00"), []string{"encoded as UTF-16", "CSV UTF-8"}},
		{"UTF-16, big-endian", "\xfe\xff" + utf16("user\twebmail_url\r\n", "\x00", ""), []string{"encoded as UTF-16"}},
		{"UTF-16 without a mark", utf16("user,webmail_url\n", "", "\x00"), []string{"line 1: NUL bytes, as UTF-16 has them"}},
		{"NUL", "user,webmail_url\na@a.example,https://a\x00\n", []string{"line 2: NUL bytes"}},
		{"Latin-1", "user,webmail_url\na@a.example,https://a\nb\xfcro@b.example,https://b\n", []string{"line 3: not UTF-8 but perhaps Latin-1 or Windows-1252", "CSV UTF-8"}},
		{"UTF-8 that breaks off", "user,webmail_url\na@a.example,https://a\xc3", []string{"line 2: not UTF-8"}},
		{"a workbook", "PK\x03\x04\x14\x00", []string{"a spreadsheet's own file"}},
		{"an old workbook", "\xd0\xcf\x11\xe0\xa1", []string{"a spreadsheet's own file"}},
		{"names that are wrong between semicolons", "user;webmail_url;passwort\na;b;c\n", []string{`line 1: unknown column "passwort": there are user, webmail_url, tenant, policy`}},
		{"a separator that is none", "sep=:\nuser:webmail_url\n", []string{`unknown column "sep=:"`}},
		{"names after sep", "sep=;\nuser;x\n", []string{`line 2: unknown column "x"`, `no column "webmail_url"`}},
		{"a name twice in capitals", "user,webmail_url,USER\na,b,c\n", []string{`column "user" comes twice`}},
		{"a value without a name", "user,webmail_url,\na,b,\na,b,note\n", []string{`line 3: "note" is in column 3, which has no name`}},
		{"a value beyond the columns", "user,webmail_url\na,b,,x\n", []string{"line 2: 4 values for 2 columns"}},
		{"a name twice", "user,webmail_url,user\na,b,c\n", []string{`line 1: column "user" comes twice`}},
		{"too few and too many", "user,webmail_url\na\na,b\na,b,c\n", []string{"line 2: 1 values for 2 columns", "line 4: 3 values for 2 columns"}},
		{"a quote amiss", "user,webmail_url\na,b\n\"a,b\n", []string{"line 3"}},
		{"too long", "user,webmail_url\n" + strings.Repeat("a,b\n", 100_001), []string{"more than 100000 tenants"}},
		{"too large", strings.Repeat("x", 16<<20+1), []string{"larger than 16 MiB"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := sweep.ReadCSV(strings.NewReader(test.lines))

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

// Every addition has its own line, in order, and values without white space around
// them; nothing makes the reader panic.
func FuzzReadCSV(f *testing.F) {
	f.Add("user,webmail_url\nadmin@a.example,https://mail.a.example\n")
	f.Add("tenant,policy,user,webmail_url\n" + t1 + ",manual,a@a.example,https://a\n\n,,b@b.example,https://b\n")
	f.Add("\ufeffuser,webmail_url\n\"a\nb\",\"c\"\"d\"\n")
	f.Add("user,webmail_url\na\n\"")
	f.Add("sep=;\r\nUser;Webmail_URL;;\r\na@a.example;https://a;;\r\n;;;\r\n")
	f.Add("user\twebmail_url\ra@a.example\thttps://a\r")
	f.Add("\xff\xfeu\x00s\x00")
	f.Fuzz(func(t *testing.T, lines string) {
		additions, err := sweep.ReadCSV(strings.NewReader(lines))
		if (err == nil) != (len(additions) > 0) {
			t.Fatalf("%d additions and error %v", len(additions), err)
		}
		last := 1
		for _, a := range additions {
			if a.Line <= last || a.Line > strings.Count(lines, "\n")+strings.Count(lines, "\r")+1 {
				t.Errorf("line %d after line %d", a.Line, last)
			}
			last = a.Line
			if text := a.Username + a.WebmailURL + a.Policy + string(a.Tenant); a.Username != strings.TrimSpace(a.Username) || len(text) > len(lines) {
				t.Errorf("read %+v", a)
			}
		}
	})
}

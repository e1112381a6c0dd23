package mailu

import (
	"strings"

	"golang.org/x/net/html"
)

// pageText returns the title of an HTML page, or its text if it has no title; for plain
// text, the text. It decodes entities and drops tags, comments and scripts.
func pageText(page string) string {
	var title, text strings.Builder
	inside := ""
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken: // the end: the reader returns no other error
			if strings.TrimSpace(title.String()) != "" {
				return title.String()
			}
			return text.String()
		case html.StartTagToken:
			name, _ := z.TagName()
			inside = string(name)
		case html.EndTagToken:
			inside = ""
			text.WriteByte(' ')
		case html.TextToken:
			switch inside {
			case "title":
				title.Write(z.Text())
			case "script", "style":
			default:
				text.Write(z.Text())
			}
		}
	}
}

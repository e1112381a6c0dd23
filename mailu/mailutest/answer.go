package mailutest

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
)

// answer is the admin's answer, before a fault may remove it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func newAnswer(status int, contentType string, body []byte) answer {
	return answer{status: status, header: http.Header{"Content-Type": {contentType}}, body: body}
}

func jsonAnswer(status int, value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		return internalError()
	}
	return newAnswer(status, "application/json", append(body, '\n'))
}

// verdict is the shape of everything that the methods of api/v1 return themselves, success included.
func verdict(code int, text string) answer {
	return jsonAnswer(code, map[string]any{"code": code, "message": text})
}

// message is the shape of abort(): flask-restx drops the code (errors.py abort, api.py Api.handle_error).
func message(status int, text string) answer {
	return jsonAnswer(status, map[string]any{"message": text})
}

// internalError is any exception that a method lets out: flask-restx makes JSON of it (api.py Api.handle_error).
func internalError() answer {
	return message(http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError))
}

// nginxPage is nginx's answer to requests that it does not pass to the admin.
func nginxPage(status int) answer {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return newAnswer(status, "text/html", []byte(page))
}

const textHTML = "text/html; charset=utf-8"

// notFoundPage is Werkzeug's page of a path that no rule matches.
func notFoundPage() answer {
	return newAnswer(http.StatusNotFound, textHTML, []byte("<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"+
		"<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"))
}

// redirectPage is Werkzeug's page of a redirect.
func redirectPage(status int, location string) answer {
	target := html.EscapeString(location)
	a := newAnswer(status, textHTML, fmt.Appendf(nil, "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n"+
		"<p>You should be redirected automatically to the target URL: <a href=\"%s\">%s</a>. If not, click the link.\n", target, target))
	a.header.Set("Location", location)
	return a
}

// swaggerPage stands for the API's documentation, which needs no token.
func swaggerPage() answer {
	return newAnswer(http.StatusOK, textHTML, []byte("<!DOCTYPE html>\n<html>\n<head>\n    <title>Mailu API</title>\n</head>\n</html>\n"))
}

func (s *Server) send(w http.ResponseWriter, c call, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	s.answered(c.entry, a.status)
	w.WriteHeader(a.status)
	// Errors of a client that has hung up do not matter.
	_, _ = w.Write(a.body)
}

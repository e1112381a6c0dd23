package mailutest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// answer is what the admin says, before a fault may take it away.
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

// nginxPage is what nginx answers where it does not ask the admin.
func nginxPage(status int) answer {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return newAnswer(status, "text/html", []byte(page))
}

// htmlPage is the page that Werkzeug makes of an error outside the API.
func htmlPage(status int) answer {
	name := http.StatusText(status)
	page := fmt.Sprintf("<!doctype html>\n<html lang=en>\n<title>%d %s</title>\n<h1>%s</h1>\n", status, name, name)
	return newAnswer(status, "text/html; charset=utf-8", []byte(page))
}

func (s *Server) send(w http.ResponseWriter, c call, a answer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	s.answered(c.entry, a.status)
	w.WriteHeader(a.status)
	// A client that has hung up is its own business.
	_, _ = w.Write(a.body)
}

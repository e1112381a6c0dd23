package mailutest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// call is one request with its body read to the end, as gunicorn hands it on: the client may be gone by now, and the
// effect happens all the same.
type call struct {
	request *http.Request
	body    []byte
	entry   *Request
}

const (
	userPath   = "/api/v1/user"
	domainPath = "/api/v1/domain"
)

// handle is the admin process without faults. It waits for a worker, and keeps it until the answer is made.
func (s *Server) handle(c call) answer {
	select {
	case s.workers <- struct{}{}:
		defer func() { <-s.workers }()
	case <-s.closing:
		return internalError()
	}
	if s.config.APIDisabled {
		return s.disabled()
	}
	if s.Token() == "" {
		// api/__init__.py register: one page for everything below /api.
		return newAnswer(http.StatusInternalServerError, "text/html; charset=utf-8",
			[]byte("<p>Error: API_TOKEN is not configured</p>"))
	}
	path := c.request.URL.Path
	if path == userPath {
		return s.route(c, methods{http.MethodGet: s.list, http.MethodPost: s.create})
	}
	if domain, found := strings.CutPrefix(path, domainPath+"/"); found && domain != "" && !strings.Contains(domain, "/") {
		return s.route(c, methods{http.MethodGet: func(c call) answer { return s.findDomain(c, domain) }})
	}
	email, found := strings.CutPrefix(path, userPath+"/")
	// Flask's string converter takes one segment that is not empty, and no rule here ends in a slash. What matches no
	// rule is Flask's own 404 page, since the Api is made without catch_all_404s (api/v1/__init__.py).
	if !found || email == "" || strings.Contains(email, "/") {
		return htmlPage(http.StatusNotFound)
	}
	return s.route(c, methods{
		http.MethodGet:   func(c call) answer { return s.find(c, email) },
		http.MethodPatch: func(c call) answer { return s.patch(c, email) },
	})
}

type methods map[string]func(call) answer

// route answers 405 before anything is checked, and HEAD as GET, as Flask's routing does.
func (s *Server) route(c call, offered methods) answer {
	method := c.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if serve, found := offered[method]; found {
		return serve(c)
	}
	refusal := message(http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
	refusal.header.Set("Allow", strings.Join(slices.Sorted(maps.Keys(offered)), ", "))
	return refusal
}

// disabled: with API=false nginx leaves out its location /api, and the path falls to WEBROOT_REDIRECT or to no file
// (core/nginx/conf/nginx.conf). The admin itself serves /api whatever API says (__init__.py create_app_from_config).
func (s *Server) disabled() answer {
	if !s.config.WebmailRedirect {
		return nginxPage(http.StatusNotFound)
	}
	page := nginxPage(http.StatusMovedPermanently)
	page.header.Set("Location", "/webmail/?homepage")
	return page
}

// authorise is api/common.py api_token_authorization, in its order: 429, 401, 403. Only the 403 counts as a failure.
// "Bearer " is optional, and no other scheme is known. A header outside ASCII makes hmac.compare_digest raise: 500.
func (s *Server) authorise(c call) (refusal answer, ok bool) {
	if s.limiter.blocked(c.request.RemoteAddr) {
		return message(http.StatusTooManyRequests, "Too many attempts from your IP (rate-limit)"), false
	}
	header := c.request.Header.Get("Authorization")
	if header == "" {
		return message(http.StatusUnauthorized, "A valid Authorization header is mandatory"), false
	}
	if strings.ContainsFunc(header, func(r rune) bool { return r >= 0x80 }) {
		return internalError(), false
	}
	token := s.Token()
	if len(token) < 4 || strings.TrimPrefix(header, "Bearer ") != token {
		s.limiter.fail(c.request.RemoteAddr)
		return message(http.StatusForbidden, "Invalid API token"), false
	}
	s.authorised(c.entry)
	return answer{}, true
}

// list is api/v1/user.py Users.get: fields that are null are left out here, and only here.
func (s *Server) list(c call) answer {
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	rows := []map[string]any{}
	for _, email := range s.addresses() {
		u := s.user(email)
		row := u.row(email)
		maps.DeleteFunc(row, func(_ string, value any) bool { return value == nil })
		rows = append(rows, row)
	}
	return jsonAnswer(http.StatusOK, rows)
}

// find is api/v1/user.py User.get.
func (s *Server) find(c call, email string) answer {
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validEmail(email) {
		return verdict(http.StatusBadRequest, fmt.Sprintf("Provided email address %s is not a valid email address", email))
	}
	row, found := s.show(email)
	if !found {
		return unknownUser(email)
	}
	return jsonAnswer(http.StatusOK, row)
}

// patch is api/v1/user.py User.patch. flask-restx validates the payload before it calls the method with its decorators
// (resource.py Resource.dispatch_request), so a bad body is a 415 or 400 even without a token, and counts for nothing.
//
// Once the token is accepted: an invalid address is a 500, because the line that makes the 400 reads data["email"],
// which a rotation does not send. An unknown user is a 404. Everything else is a 200: also a body without raw_password, which
// changes nothing, and an empty raw_password, which locks the user out.
func (s *Server) patch(c call, email string) answer {
	data, refusal, ok := payload(c, userModel(), nil)
	if !ok {
		return refusal
	}
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validEmail(email) {
		if sent, found := data["email"]; found {
			return verdict(http.StatusBadRequest, fmt.Sprintf("Provided email address %v is not a valid email address", sent))
		}
		return internalError()
	}
	if s.user(email).fields == nil {
		return unknownUser(email)
	}
	hash := ""
	password, found := data["raw_password"].(string)
	if found {
		var err error
		if hash, err = s.hash(password); err != nil {
			return internalError()
		}
	}
	if !s.update(email, hash, password, columns(data)) {
		return internalError()
	}
	return updated(email)
}

// hash takes the time that it takes. passlib refuses more than 4096 characters (passlib/utils/handlers.py
// validate_secret), which nobody catches: 500.
func (s *Server) hash(password string) (string, error) {
	if characters := len([]rune(password)); characters > 4096 {
		return "", fmt.Errorf("hash %d characters: too many for passlib", characters)
	}
	select {
	case <-time.After(s.config.HashDelay):
	case <-s.closing:
	}
	return hashPassword(password, s.config.Rounds)
}

func unknownUser(email string) answer {
	return verdict(http.StatusNotFound, fmt.Sprintf("User %s cannot be found", email))
}

func updated(email string) answer {
	return verdict(http.StatusOK, fmt.Sprintf("User %s has been updated", email))
}

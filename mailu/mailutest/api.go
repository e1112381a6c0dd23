package mailutest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// call is one request whose body was read completely, as gunicorn passes it on: the client may have gone, and the
// effect happens anyway.
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
		return newAnswer(http.StatusInternalServerError, textHTML,
			[]byte("<p>Error: API_TOKEN is not configured</p>"))
	}
	path := c.request.URL.Path
	if offered := s.rule(path); offered != nil {
		return route(c, offered)
	}
	// A path that matches a rule after merging slashes is redirected there (Werkzeug, merge_slashes).
	if merged := mergeSlashes(path); s.rule(merged) != nil {
		target := *c.request.URL
		target.Path, target.RawPath = merged, ""
		target.Scheme, target.Host = "http", c.request.Host
		return redirectPage(http.StatusPermanentRedirect, target.String())
	}
	// A path that matches no rule gets Flask's own 404 page, since the Api is made without catch_all_404s
	// (api/v1/__init__.py).
	return notFoundPage()
}

type methods map[string]func(call) answer

// rule returns the methods of a path, nil for a path that no rule matches. Flask's string converter takes one segment
// that is not empty, and of the rules here only the two roots end in a slash.
func (s *Server) rule(path string) methods {
	switch path {
	case "/api/":
		return methods{http.MethodGet: func(call) answer { return redirectPage(http.StatusFound, "/api/v1/") }}
	case "/api/v1/":
		return methods{http.MethodGet: func(call) answer { return swaggerPage() }}
	case userPath:
		return methods{http.MethodGet: s.list, http.MethodPost: s.create}
	}
	if domain, found := segmentAfter(path, domainPath+"/"); found {
		return methods{
			http.MethodGet:   func(c call) answer { return s.findDomain(c, domain) },
			http.MethodPatch: func(c call) answer { return s.patchDomain(c, domain) },
		}
	}
	if email, found := segmentAfter(path, userPath+"/"); found {
		return methods{
			http.MethodGet:    func(c call) answer { return s.find(c, email) },
			http.MethodPatch:  func(c call) answer { return s.patch(c, email) },
			http.MethodDelete: func(c call) answer { return s.delete(c, email) },
		}
	}
	return nil
}

func segmentAfter(path, prefix string) (segment string, found bool) {
	segment, found = strings.CutPrefix(path, prefix)
	return segment, found && segment != "" && !strings.Contains(segment, "/")
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// route answers 405 and OPTIONS before any check, and HEAD as GET, as Flask's routing does.
func route(c call, offered methods) answer {
	method := c.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if serve, found := offered[method]; found {
		return serve(c)
	}
	a := message(http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
	if method == http.MethodOptions {
		a = newAnswer(http.StatusOK, textHTML, nil)
	}
	allowed := append(slices.Collect(maps.Keys(offered)), http.MethodHead, http.MethodOptions)
	slices.Sort(allowed)
	a.header.Set("Allow", strings.Join(allowed, ", "))
	return a
}

// disabled: with API=false nginx omits its location /api, and the path leads to WEBROOT_REDIRECT or to no file
// (core/nginx/conf/nginx.conf). The admin itself serves /api whatever API is (__init__.py create_app_from_config).
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
		return noHeader(), false
	}
	if strings.ContainsFunc(header, func(r rune) bool { return r >= 0x80 }) {
		return internalError(), false
	}
	token := s.Token()
	if len(token) < 4 || strings.TrimPrefix(header, "Bearer ") != token {
		s.limiter.fail(c.request.RemoteAddr)
		return wrongToken(), false
	}
	s.authorised(c.entry)
	return answer{}, true
}

func noHeader() answer {
	return message(http.StatusUnauthorized, "A valid Authorization header is mandatory")
}

func wrongToken() answer { return message(http.StatusForbidden, "Invalid API token") }

// list is api/v1/user.py Users.get: it omits null fields, unlike the other methods.
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
		return invalidAddress(email)
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
// Once the token is accepted: an invalid address is a 400, in 2.0 a 500 unless the body also has an address. An unknown
// user is a 404. Everything else is a 200, including a body without raw_password, which changes nothing, and an empty
// raw_password, which locks the user out.
func (s *Server) patch(c call, email string) answer {
	data, refusal, ok := payload(c, s.userModel(), nil)
	if !ok {
		return refusal
	}
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if _, named := data["email"]; !validEmail(email) && !named && s.config.Release == Release20 {
		return internalError()
	}
	if !validEmail(email) {
		return invalidAddress(email)
	}
	if s.user(email).fields == nil {
		return unknownUser(email)
	}
	if !validDates(data) {
		return internalError()
	}
	hash := ""
	password, found := data["raw_password"].(string)
	if found {
		var err error
		if hash, err = s.hash(password); err != nil {
			return internalError()
		}
	}
	if !s.update(email, hash, password, s.columns(data)) {
		return internalError()
	}
	return updated(email)
}

// delete is api/v1/user.py User.delete.
func (s *Server) delete(c call, email string) answer {
	if refusal, ok := s.authorise(c); !ok {
		return refusal
	}
	if !validEmail(email) {
		return invalidAddress(email)
	}
	if s.user(email).fields == nil {
		return unknownUser(email)
	}
	s.DeleteUser(email)
	return verdict(http.StatusOK, fmt.Sprintf("User %s has been deleted", email))
}

// hash takes as long as Mailu's hashing. passlib refuses more than 4096 characters (passlib/utils/handlers.py
// validate_secret), which Mailu does not catch: 500.
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

func invalidAddress(email string) answer {
	return verdict(http.StatusBadRequest, fmt.Sprintf("Provided email address %s is not a valid email address", email))
}

func unknownUser(email string) answer {
	return verdict(http.StatusNotFound, fmt.Sprintf("User %s cannot be found", email))
}

func updated(email string) answer {
	return verdict(http.StatusOK, fmt.Sprintf("User %s has been updated", email))
}

package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/websocket"
)

// MinToken is how many characters a token has at least.
const MinToken = 16

// CheckToken says what is wrong with a token, which it does not repeat.
func CheckToken(token string) error {
	if len(token) < MinToken {
		return errors.New("the token is shorter than 16 characters: openssl rand -hex 32 makes a good one")
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return errors.New("the token has blanks, or characters that are not ASCII: openssl rand -hex 32 makes a good one")
		}
	}
	return nil
}

// secret is a token that requests are compared with.
type secret struct {
	sum  [sha256.Size]byte
	none bool // everybody is let in
}

func newSecret(token string) secret {
	return secret{sum: sha256.Sum256([]byte(token)), none: token == ""}
}

// is says whether token is the right one, in a time that does not depend on it.
func (s *secret) is(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], s.sum[:]) == 1
}

// tokenOf is the token that r carries, "" if it has none.
func tokenOf(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	for _, protocol := range websocket.Subprotocols(r) {
		if text, ok := strings.CutPrefix(protocol, tokenProtocol); ok {
			token, err := base64.RawURLEncoding.DecodeString(text)
			if err == nil {
				return string(token)
			}
		}
	}
	return ""
}

// admit says whether whoever sent r may use the API; if not that was answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	if s.secret.none {
		return true
	}
	token := tokenOf(r)
	if token != "" && s.secret.is(token) {
		return true
	}
	reason := errors.New("a token is needed")
	if token != "" {
		reason = errors.New("the token is wrong")
		if !s.guesses.Allow() { // the right one is always let in
			s.refused(r, reason)
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, errors.New("there were too many wrong tokens"), "http.token_file holds the right one")
			return false
		}
	}
	s.refused(r, reason)
	w.Header().Set("WWW-Authenticate", `Bearer realm="mqttdb"`)
	refuse(w, http.StatusUnauthorized, reason, "send the header Authorization: Bearer TOKEN with what http.token_file holds")
	return false
}

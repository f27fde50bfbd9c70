package listener

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"

	"github.com/mqttdb/mqttdb/types"
)

// Passwords are hashed with bcrypt of golang.org/x/crypto: its cost is time
// only, a few kilobytes of memory each, where argon2id would take tens of
// megabytes on a machine that may have little, once for each login.
const (
	passwordCost = 10 // about 50 ms on a server, 300 ms on a small board

	// maxPasswordCost is the highest that is accepted in a hash: beyond it one
	// login takes seconds.
	maxPasswordCost = 14

	maxPassword = 72 // bytes; bcrypt takes no more

	// maxUsername is how long a name may be, in bytes: it is kept with what its
	// client publishes.
	maxUsername = 1024
)

// User is somebody who may log in.
type User struct {
	Name         string
	PasswordHash string   // as HashPassword returns it
	Publish      []string // filters of the topics that it may publish to
	Subscribe    []string // filters that cover what it may subscribe to
}

// HashPassword returns what is stored of a password.
func HashPassword(password []byte) (string, error) {
	switch {
	case len(password) == 0:
		return "", errors.New("an empty password lets everybody in")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password has %d bytes, at most %d are allowed", len(password), maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword(password, passwordCost)
	return string(hash), err
}

func (u *User) check() error {
	cost, err := bcrypt.Cost([]byte(u.PasswordHash))
	switch {
	case u.Name == "":
		return errors.New("listener: a user without a name")
	case len(u.Name) > maxUsername:
		return fmt.Errorf("listener: the name of a user has %d bytes, at most %d are allowed", len(u.Name), maxUsername)
	case err != nil || cost > maxPasswordCost:
		return fmt.Errorf("listener: the password hash of user %q is not one that mqttdb passwd makes", u.Name)
	}
	for _, f := range slices.Concat(u.Publish, u.Subscribe) {
		if err := types.CheckFilter(f); err != nil {
			return fmt.Errorf("listener: user %q: %w", u.Name, err)
		}
	}
	return nil
}

// account is a User, and what is remembered of it.
type account struct {
	name, hash string
	allowed    permissions

	// proof is that of the password that was verified last, so that a client that
	// comes again does not cost a hash. It is kept in memory only, under a key
	// of this process, and never for a password that was wrong.
	proof atomic.Pointer[[sha256.Size]byte]
}

// users are those who may log in, by name. They are never modified: others take
// their place.
type users map[string]*account

// newUsers makes the users of list. What is remembered of those before whose
// password is the same is kept.
func newUsers(list []User, before users) (users, error) {
	all := make(users, len(list))
	for i := range list {
		u := &list[i]
		if err := u.check(); err != nil {
			return nil, err
		}
		if all[u.Name] != nil {
			return nil, fmt.Errorf("listener: user %q is there twice", u.Name)
		}
		a := &account{name: u.Name, hash: u.PasswordHash}
		a.allowed = permissions{slices.Clone(u.Publish), slices.Clone(u.Subscribe)}
		if old := before[u.Name]; old.same(a) {
			a.proof.Store(old.proof.Load())
		}
		all[u.Name] = a
	}
	return all, nil
}

// CheckUsers says whether these can be the users of a Server.
func CheckUsers(list []User) error {
	_, err := newUsers(list, nil)
	return err
}

// same says whether a and other have the same name and password.
func (a *account) same(other *account) bool {
	return a != nil && other != nil && a.name == other.name && a.hash == other.hash
}

// SetUsers makes others the users, for whom the rules hold at once. Clients whose
// user is gone, has another password or may do less than before are
// disconnected; what the others do is not disturbed.
func (s *Server) SetUsers(list []User) error {
	next, err := newUsers(list, *s.users.Load())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users.Store(&next)
	for _, c := range s.sessions {
		before := c.account.Load()
		if before == nil {
			continue
		}
		after := next[before.name]
		if !before.same(after) || !before.allowed.within(&after.allowed) {
			c.end(ending{err: errNotAllowedNow, code: codeAdministrative})
			continue
		}
		c.account.Store(after)
	}
	return nil
}

// resolve makes the account of c that which it is at present, and says whether
// it may still log in. The lock is held.
func (s *Server) resolve(c *session) bool {
	a := c.account.Load()
	if a == nil {
		return true
	}
	now := (*s.users.Load())[a.name]
	c.account.Store(now)
	return a.same(now)
}

var errNotAllowedNow = errors.New("the configuration of its user has changed")

package listener

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// maxLogins is how many clients may wait for their password to be verified.
const maxLogins = 1000

// verifier verifies passwords, few at a time: that is slow on purpose, and must
// leave processors for the messages of those who are in.
type verifier struct {
	line   *turnstile
	key    [32]byte // of proofs
	decoys sync.Map // from cost to a hash, for users that do not exist
}

func newVerifier() *verifier {
	v := &verifier{line: newTurnstile(max(1, runtime.GOMAXPROCS(0)/2), maxLogins)}
	rand.Read(v.key[:])
	return v
}

// decoy is a hash of nobody's password that costs as much as the dearest of the
// users, so that an answer does not tell by its time who exists.
func (v *verifier) decoy(all users) []byte {
	cost := bcrypt.MinCost
	for _, a := range all {
		c, _ := bcrypt.Cost([]byte(a.hash)) // it was checked
		cost = max(cost, c)
	}
	if hash, ok := v.decoys.Load(cost); ok {
		return hash.([]byte)
	}
	hash, _ := bcrypt.GenerateFromPassword([]byte(rand.Text()), cost) // fails only for what is too long
	v.decoys.Store(cost, hash)
	return hash
}

// login says as whom a client is let in; nil: as nobody in particular. The error
// is a *refusal. It takes no longer than until the deadline.
func (s *Server) login(c *connect, e *endpoint, conn net.Conn, deadline time.Time) (*account, error) {
	users := *s.users.Load()
	if !c.hasUsername || len(users) == 0 {
		if e.anonymous() {
			return nil, nil
		}
		return nil, &refusal{version: c.version, v3: 5, v5: codeNotAuthorized, text: "no username, which this address demands"}
	}
	a := users[c.username]
	right, err := s.verifier.verify(users, a, c.password, conn.RemoteAddr().String(), deadline)
	switch {
	case err != nil:
		return nil, &refusal{version: c.version, v3: 3, v5: codeBusy, text: err.Error()}
	case !right:
		return nil, &refusal{version: c.version, v3: 4, v5: codeBadLogin, text: fmt.Sprintf("a wrong username or password, as user %.100q", c.username)}
	}
	return a, nil
}

// verify says whether this is the password of a, one of all, which is nil for a
// user that does not exist: that takes as long to find out.
func (v *verifier) verify(all users, a *account, password []byte, from string, deadline time.Time) (bool, error) {
	if len(password) == 0 || len(password) > maxPassword {
		return false, nil
	}
	var proof [sha256.Size]byte
	if a != nil {
		proof = v.proofOf(a, password)
		if known := a.proof.Load(); known != nil && subtle.ConstantTimeCompare(known[:], proof[:]) == 1 {
			return true, nil
		}
	}
	k := v.line.enter(hostOf(from))
	defer v.line.leave(k)
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case mine := <-k.called:
		if !mine {
			return false, errManyLogins
		}
	case <-timer.C:
		return false, errManyLogins
	}
	var hash []byte
	if a != nil {
		hash = []byte(a.hash)
	} else {
		hash = v.decoy(all)
	}
	right := bcrypt.CompareHashAndPassword(hash, password) == nil && a != nil
	if right {
		a.proof.Store(&proof)
	}
	return right, nil
}

// proofOf is what is remembered of a password that was right.
func (v *verifier) proofOf(a *account, password []byte) (proof [sha256.Size]byte) {
	h := hmac.New(sha256.New, v.key[:])
	fmt.Fprintf(h, "%q %q ", a.name, a.hash)
	h.Write(password)
	h.Sum(proof[:0])
	return proof
}

var errManyLogins = errors.New("too many clients log in at once")

package actors

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Letter is a message that a consumer can never take. It becomes a dead letter of
// the queue, with its cause, as soon as all others to whom it belongs are done
// with it.
type Letter struct {
	Seq   types.Seq
	Cause string // what an operator is told; persistence.MaxCause bytes at most are kept
}

// maxLetterBytes is how much may be known of letters that others have still to
// get: it is part of the state of the queue.
const maxLetterBytes = 512 << 10

var errTooManyLetters = fmt.Errorf("%w: too many messages were given up by one consumer and not got by others yet", types.ErrQueueFull)

// letters are the messages that some consumer could not take and that are not
// recorded as dead letters yet, with the causes. They are a mark:
//
//	letters  1  then for each: number  length, cause
//
// Numbers are uvarints.
type letters struct {
	causes map[types.Seq]string
	bytes  int  // of the mark, about
	dirty  bool // it is to be recorded
}

const lettersMark = "letters"

// setAside notes that c cannot take these messages. After an error the rest is
// still to be acknowledged.
func (a *consumers) setAside(c *consumer, list []Letter) error {
	for _, l := range list {
		if _, open := c.given[l.Seq]; !open {
			continue
		}
		if !a.letters.add(l) {
			a.dropLetters() // and the next attempt finds room
			return errTooManyLetters
		}
		a.finish(c, l.Seq, types.Sent)
	}
	return nil
}

// add keeps l, unless there is no room for it. The first cause stays.
func (s *letters) add(l Letter) bool {
	if _, has := s.causes[l.Seq]; has {
		return true
	}
	if s.causes == nil {
		s.causes = make(map[types.Seq]string)
	}
	l.Cause = l.Cause[:min(len(l.Cause), persistence.MaxCause)]
	if l.Cause == "" {
		l.Cause = "given up"
	}
	if s.bytes+letterSize(l.Cause) > maxLetterBytes {
		return false
	}
	s.bytes += letterSize(l.Cause)
	s.causes[l.Seq] = l.Cause
	s.dirty = true
	return true
}

func letterSize(cause string) int { return len(cause) + 12 }

// isLetter says whether some consumer could not take a message.
func (s *letters) isLetter(seq types.Seq) bool {
	_, is := s.causes[seq]
	return is
}

// withCauses appends to done what says that these are dead letters.
func (s *letters) withCauses(done []persistence.Done, r persistence.Range) []persistence.Done {
	for seq := r.First; seq <= r.Last; seq++ {
		done = append(done, persistence.Done{Range: rangeOf(seq), Reason: types.Dead, Cause: s.causes[seq]})
	}
	return done
}

// posted notes that these have left the queue.
func (a *consumers) posted(r persistence.Range) {
	s := &a.letters
	forget := func(seq types.Seq) {
		if cause, has := s.causes[seq]; has {
			delete(s.causes, seq)
			s.bytes -= letterSize(cause)
			s.dirty = true
			a.arm()
		}
	}
	if len(s.causes) == 0 {
		return
	}
	if uint64(r.Last-r.First) < uint64(len(s.causes)) {
		for seq := r.First; seq <= r.Last; seq++ {
			forget(seq)
		}
		return
	}
	for seq := range s.causes {
		if r.First <= seq && seq <= r.Last {
			forget(seq)
		}
	}
}

// mark returns what is known of letters as a mark.
func (s *letters) mark() persistence.Mark {
	if len(s.causes) == 0 {
		return persistence.Mark{Key: lettersMark}
	}
	b := []byte{consumerVersion}
	for _, seq := range slices.Sorted(maps.Keys(s.causes)) {
		b = binary.AppendUvarint(b, uint64(seq))
		b = binary.AppendUvarint(b, uint64(len(s.causes[seq])))
		b = append(b, s.causes[seq]...)
	}
	return persistence.Mark{Key: lettersMark, Value: b}
}

// readLetters reads a mark.
func readLetters(value []byte) (letters, error) {
	s := letters{}
	r := markReader{b: value}
	r.version()
	for len(r.b) > 0 {
		l := Letter{Seq: types.Seq(r.uint())}
		if l.Cause = string(r.bytes(r.uint())); !r.bad {
			s.add(l)
		}
	}
	s.dirty = false
	if r.bad {
		return s, fmt.Errorf("mark %q: %w", lettersMark, types.ErrCorrupt)
	}
	return s, nil
}

// dropLetters forgets those that are not in the queue any more: they were cleared.
func (a *consumers) dropLetters() {
	if floor := a.config.Queue.State().Floor; len(a.letters.causes) > 0 && floor > 0 {
		a.posted(persistence.Range{First: 1, Last: floor})
	}
}

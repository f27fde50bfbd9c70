package actors

import (
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// findInFlight returns what is in flight: what the connection says, what is
// released, and of what an earlier process may have sent with QoS 2 as much as
// there is doubt about. That lies among the first messages that are pending, as
// many as the window had [S3.2].
func (a *queue) findInFlight(m recalled) (persistence.Ranges, error) {
	set := slices.Clone(m.sent)
	for _, r := range a.handle.State().Released {
		set.Add(r)
	}
	used := windowsOf(a.sessionMarks())
	left, upTo := m.doubt.left, m.doubt.upTo
	if m.unknown {
		left, upTo = used.exact, a.committed
	}
	after, buf := types.Seq(0), a.buf
	for read := 0; left > 0 && read < used.all && after < upTo; {
		var err error
		buf, err = a.handle.Read(a.context(), buf[:0], after, persistence.Limit{Records: used.all - read, Bytes: clearBytes})
		if err != nil {
			return nil, err
		}
		if len(buf) == 0 {
			break
		}
		for i := range buf {
			r := &buf[i]
			after = r.Seq
			if r.Message.QoS == 2 && !r.Released && !m.sent.Contains(r.Seq) && left > 0 && r.Seq <= upTo {
				set.Add(persistence.Range{First: r.Seq, Last: r.Seq})
				if !r.Abandoned { // see handshakes.begin
					left--
				}
			}
		}
		read += len(buf)
		clear(buf)
	}
	return set, nil
}

// sessionMarks is what is stored of the session.
func (a *queue) sessionMarks() []persistence.Mark {
	var list []persistence.Mark
	for key, value := range a.handle.Marks(SessionMark) {
		list = append(list, persistence.Mark{Key: key, Value: value})
	}
	return list
}

// setApart takes what is in flight out of set, and returns it.
func (a *queue) setApart(set *persistence.Ranges) persistence.Ranges {
	var apart persistence.Ranges
	for _, r := range a.inFlight {
		for _, own := range *set {
			if part := (persistence.Range{First: max(r.First, own.First), Last: min(r.Last, own.Last)}); part.First <= part.Last {
				apart.Add(part)
			}
		}
	}
	for _, r := range apart {
		set.Remove(r)
	}
	return apart
}

// endOfSession is for a queue that is cleared of everything and that no
// connection drains: nobody will finish its handshakes, so they are removed with
// the rest. It returns what removes the mark of the session: should a connection
// come back, it begins anew, and with it all packet ids are free.
func (a *queue) endOfSession() []persistence.Mark {
	m := a.clears[0]
	if a.connection != (drainer{}) || m.kept() || m.Seq > 0 || m.Filter != "" || !m.Before.IsZero() || len(a.inFlight) == 0 {
		return nil
	}
	var gone []persistence.Mark
	for _, mark := range a.sessionMarks() {
		gone = append(gone, persistence.Mark{Key: mark.Key})
	}
	a.inFlight = nil
	return gone
}

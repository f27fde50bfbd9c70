package listener

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// opening bounds how long a client waits for its session to be opened.
const opening = 10 * time.Second

// open finds out what is stored of the session, if it is to be kept, or ends that
// if it is not. It returns whether there was one, and says what the client had
// subscribed to.
func (s *session) open(earlier *session) (present bool, err error) {
	sessions, c := s.server.options.Sessions, &s.connect
	if sessions == nil {
		if c.kept {
			s.server.note(s)
		}
		return false, nil
	}
	ctx, cancel := context.WithTimeout(s.life, opening)
	defer cancel()
	if earlier != nil {
		select { // so that it can say what it has sent
		case <-earlier.left:
		case <-ctx.Done():
		}
	}
	if !c.kept && !c.mayResume() {
		if err := sessions.EndSession(ctx, s.key); err != nil { // nobody is kept out because of that
			s.log.Warn("an earlier session of this client may still be there", "error", err)
		}
		return false, nil
	}
	if err := ctx.Err(); err != nil { // the earlier one may not have said it yet
		return false, err
	}
	d := newDurable(min(c.receive, sessions.SessionWindow()), s.version)
	stored, err := sessions.OpenSession(ctx, runtime.SessionOptions{
		ClientID: s.key, Clean: c.clean, Expiry: c.expiry, Receiver: receiver{s, d}, Window: d.window,
	})
	if err != nil {
		return false, err
	}
	if !c.kept && !stored.Present { // there is nothing to go on with
		stored.Leave(0, nil, nil)
		return false, sessions.EndSession(ctx, s.key)
	}
	if err := s.narrow(ctx, stored); err != nil {
		stored.Leave(0, nil, nil)
		return false, err
	}
	s.fresh = c.clean || !stored.Present
	s.mu.Lock()
	s.durable = d
	s.kept.Store(true)
	s.releases, err = d.resume(stored, nil)
	s.mu.Unlock()
	if err != nil {
		s.log.Error("the packet ids of this client's session cannot be read; messages may come to it twice", "error", err)
	}
	for _, sub := range stored.Subscriptions {
		s.filters[sub.Filter] = true // whether or not there is room: it was granted
		s.filterBytes += filterWeight(sub.Filter)
		s.server.topics.subscribe(s, request{filter: sub.Filter, qos: sub.QoS, noLocal: sub.NoLocal, retainPublished: sub.KeepRetain})
	}
	return stored.Present, nil
}

// narrow removes the subscriptions that the user of the client may not make any
// more.
func (s *session) narrow(ctx context.Context, stored *runtime.Session) error {
	var forbidden []string
	stored.Subscriptions = slices.DeleteFunc(stored.Subscriptions, func(sub actors.Subscription) bool {
		may := s.allowed().maySubscribe(sub.Filter)
		if !may {
			forbidden = append(forbidden, sub.Filter)
		}
		return !may
	})
	if len(forbidden) == 0 {
		return nil
	}
	s.log.Warn("subscriptions that its user may not make any more are removed", "filters", len(forbidden))
	_, err := stored.Unsubscribe(ctx, forbidden)
	return err
}

// leave gives the stored session back.
func (s *session) leave() {
	s.mu.Lock()
	d, expiry := s.durable, s.ending.expiry
	if expiry == nil && !s.connect.kept {
		expiry = new(time.Duration)
	}
	if d != nil {
		done, state := d.leave()
		expired := d.late()
		last := d.recall()
		s.mu.Unlock()
		d.stored.Acknowledge(done, expired, state, nil)
		d.stored.Leave(last, nil, expiry)
	} else {
		s.mu.Unlock()
	}
	if d != nil && expiry != nil && *expiry == 0 { // [MQTT5-3.14.2.2.2]
		ctx, cancel := context.WithTimeout(context.Background(), opening)
		defer cancel()
		if err := s.server.options.Sessions.EndSession(ctx, s.key); err != nil {
			s.log.Warn("the session of this client could not be ended", "error", err)
		}
	}
	close(s.left)
}

// receiver is a session as the store sees it.
type receiver struct {
	*session
	d *durable
}

var _ actors.Receiver = receiver{}

// Deliver implements actors.Receiver.
func (r receiver) Deliver(list []actors.Delivery, through types.Seq) {
	isCurrent := r.server.topics.areCurrent(list) // before the session's lock
	r.mu.Lock()
	r.d.deliver(list, through, isCurrent)
	r.mu.Unlock()
	r.signal()
}

// Recall implements actors.Receiver.
func (r receiver) Recall() types.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.d.waiting.len() == 0 {
		return ^types.Seq(0) >> 1
	}
	return r.d.recall()
}

// Ended implements actors.Receiver.
func (r receiver) Ended(why error) {
	r.end(ending{err: why, code: codeUnspecified})
}

// prepare gets ready what the store has delivered, and tells the store what is
// done.
func (w *writer) prepare() {
	w.mu.Lock()
	defer w.mu.Unlock() // also of what is told: what leave tells must not come before it
	d := w.durable
	if d == nil || w.ending != nil {
		return
	}
	w.out.replies = d.assign(w.worth, w.out.replies)
	done, state := d.record()
	expired := d.late()
	switch {
	case state != nil:
		d.stored.Acknowledge(done, expired, state, w.committed)
	case len(done)+len(expired) > 0:
		d.stored.Acknowledge(done, expired, nil, nil)
	}
}

// committed is called when packet ids are committed.
func (s *session) committed(err error) {
	if err != nil {
		s.end(ending{err: &storeFault{err}, code: codeUnspecified})
		return
	}
	s.mu.Lock()
	s.out.replies = s.durable.committed(s.out.replies)
	s.mu.Unlock()
	s.signal()
}

// worth says whether the client is to get a stored message, and counts its expiry
// down.
func (s *session) worth(d *actors.Delivery) bool {
	if !countDown(&d.Message, time.Since(d.Since)) || !s.allowed().mayRead(d.Message.Topic) {
		return false
	}
	return s.out.fits(&d.Message, d.Message.QoS)
}

// subscribeStored commits the subscriptions whose code says that they are granted
// to the stored session. One that it has no room for gets another code; any other
// error ends the session.
func (s *session) subscribeStored(requests []request, codes []byte) error {
	var list []actors.Subscription
	for i, r := range requests {
		if codes[i] < codeUnspecified {
			list = append(list, actors.Subscription{Filter: r.filter, QoS: r.qos, NoLocal: r.noLocal, KeepRetain: r.retainPublished})
		}
	}
	if len(list) == 0 {
		return nil
	}
	_, err := s.durable.stored.Subscribe(s.life, list)
	if !errors.Is(err, types.ErrQueueFull) {
		if err != nil {
			return &storeFault{err}
		}
		return nil
	}
	if s.server.logged.first(s.about("subscriptions"), time.Now()) {
		s.log.Warn("subscriptions are refused", "reason", err)
	}
	for i, r := range requests {
		if codes[i] >= codeUnspecified {
			continue
		}
		s.server.topics.unsubscribe(s, r.filter)
		s.forgetFilter(r.filter)
		if codes[i] = codeUnspecified; s.version == mqtt5 {
			codes[i] = codeQuota
		}
	}
	return nil
}

// beginReplay is called before a SUBSCRIBE has any effect, and endReplay when all
// that is retained for it was stored.
func (s *session) beginReplay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable.beginCopying()
}

func (s *session) endReplay(last types.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable.endCopying(false, last)
}

// replayStored stores the retained messages of these filters for the session, so
// that it gets them like others, and returns the number of the last one. Those at
// QoS 0 it gets as they are.
func (s *session) replayStored(requests []request) (last types.Seq, err error) {
	if len(requests) == 0 {
		return 0, nil
	}
	if err := s.durable.stored.AwaitRetained(s.life); err != nil && s.life.Err() == nil {
		s.log.Warn("what is retained may be older than what was sent before", "error", err)
	}
	for _, r := range requests {
		n, err := s.replayOne(r)
		if last = max(last, n); err != nil {
			return last, &storeFault{err}
		}
		s.server.sys.replay(s, r)
	}
	return last, nil
}

func (s *session) replayOne(r request) (last types.Seq, err error) {
	list, numbers := s.server.topics.retainedFor(r.filter, time.Now())
	stored := list[:0:0]
	var seqs []types.Seq
	for i, m := range list {
		switch {
		case min(m.QoS, r.qos) > 0:
			stored, seqs = append(stored, m), append(seqs, numbers[i])
		case !s.offer(offered{message: &m, retain: true, kept: true}):
			return 0, nil
		}
	}
	if len(stored) == 0 {
		return 0, nil
	}
	first, last, err := s.durable.stored.Copy(s.life, stored, seqs)
	if err == nil {
		s.mu.Lock()
		s.durable.replace(r.filter, first)
		s.mu.Unlock()
		s.signal()
	}
	return last, err
}

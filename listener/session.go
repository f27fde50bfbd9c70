package listener

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// silence is how long a client without keepalive may leave us with nothing
	// that can be read from it or written to it.
	silence = 60 * time.Second

	// farewell is how long what is left to say may take when a session ends.
	farewell = time.Second
)

// session is one client from its CONNECT until everything that came from it was
// settled, which may be after its connection is gone.
type session struct {
	server      *Server
	conn        net.Conn
	in          *packetReader
	log         *slog.Logger
	id          string
	key         string                  // what tells it from others: user and client id
	account     atomic.Pointer[account] // nil: it has not logged in; changed with the server's lock
	version     byte
	keepAlive   time.Duration
	connect     connect
	will        *types.Message
	source      string          // of the origin of its QoS 2 messages
	roomFunc    func()          // s.room, made once
	filters     map[string]bool // subscribed to; of the reader
	filterBytes int             // about what they take; of the reader
	releases    []byte          // PUBRELs that are due when the session goes on
	life        context.Context // ends with the session
	die         func()
	fresh       bool           // it is kept, and nothing is of before; set when it is opened
	parting     *time.Duration // of DISCONNECT: see ending; of the reader
	pubrels     bool           // some came that were not handed on; of the reader
	arrived     []*pending     // read, and not in the books yet; of the reader

	mu       sync.Mutex
	intake   intake
	out      outgoing
	durable  *durable        // nil: the session ends with the connection
	kept     atomic.Bool     // there is one
	ending   *ending         // nil while it lives
	admits   bool            // a goroutine is in admit
	batch    []*pending      // what that goroutine gives to the Sink
	passages []types.Passage // the same, as the Sink gets it
	waits    bool            // the Sink had no room, or the session before us is not done
	hasRoom  bool            // room came before we knew that we wait for it

	releasing releasing

	wake    chan struct{} // 1 deep: the writer has something to do
	drained chan struct{} // 1 deep: there may be room for what the reader reads
	stopped chan struct{} // closed when ending is set
	left    chan struct{} // closed when the stored session was given back
	settled chan struct{} // closed when the writer is done
	ended   chan struct{} // closed when nothing of the session will follow
}

// ending says why and how a session ends.
type ending struct {
	err     error // nil: in good order
	code    byte  // for MQTT 5; 0: nothing is said
	patient bool  // the connection stays until what the Sink has is answered
	polite  bool  // the client said DISCONNECT: no will, and all it sent is stored

	expiry *time.Duration // how long DISCONNECT wants the session to be kept; nil: as CONNECT did
}

func newSession(server *Server, conn net.Conn, in *packetReader, c connect, a *account) *session {
	s := &session{
		server: server, conn: conn, in: in,
		log: server.options.Logger.With("client", c.clientID),
		id:  c.clientID, version: c.version, keepAlive: c.keepAlive, will: c.will,
		key:     sessionKey(a, c.clientID),
		connect: c,
		filters: map[string]bool{},
		wake:    make(chan struct{}, 1),
		drained: make(chan struct{}, 1),
		stopped: make(chan struct{}),
		left:    make(chan struct{}),
		settled: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	s.source = actors.PublishedBy(s.key)
	s.account.Store(a)
	s.connect.password = nil
	s.life, s.die = context.WithCancel(context.Background())
	s.intake = intake{
		receiveMax: server.options.ReceiveMax,
		acking:     map[uint16]int{}, receipt: map[uint16]*receipt{},
	}
	s.out = outgoing{
		version: c.version, window: min(c.receive, deliveryWindow), maxPacket: c.maxPacket,
		flight: map[uint16]flight{},
	}
	s.roomFunc = s.room
	in.version = c.version
	in.patience = c.keepAlive * 3 / 2 // [MQTT-3.1.2-24]
	return s
}

// sessionKey tells sessions apart: each user has client ids of his own, so that
// nobody gets the session of another by its id. Neither part contains NUL.
func sessionKey(a *account, id string) string {
	if a == nil {
		return id
	}
	return a.name + "\x00" + id
}

// allowed says what the client may do.
func (s *session) allowed() *permissions {
	if a := s.account.Load(); a != nil {
		return &a.allowed
	}
	return nil
}

// run serves the client until its session has ended. earlier is the one that had
// its client id, nil if there was none.
func (s *session) run(earlier *session) {
	present, err := s.open(earlier)
	if err != nil {
		s.turnAway(err, earlier)
		return
	}
	s.after(earlier, s.server.wills.returned(s.key, s.connect.clean))
	s.reply(encodeConnack(s.connect, present, s.server.options))
	if len(s.releases) > 0 {
		s.reply(s.releases)
	}
	go s.write()
	s.end(s.endingOf(s.read()))
	late := s.holdWill() // before it is given back, so that who has it next finds it
	s.leave()
	if s.server.lingering.Add(1) > maxLingering {
		s.giveUp()
	}
	defer s.server.lingering.Add(-1)
	for filter := range s.filters {
		s.server.topics.unsubscribe(s, filter)
	}
	<-s.settled
	why := s.ending
	s.lastWill(late)
	s.logEnd(why)
	s.server.forget(s)
	close(s.ended)
}

// turnAway ends a session that could not be opened. Whoever comes after it has to
// wait for earlier as it had to.
func (s *session) turnAway(why error, earlier *session) {
	s.end(ending{err: why})
	if no := encodeRefusal(&refusal{version: s.version, v3: 3, v5: codeUnavailable}); no != nil {
		s.conn.Write(no)
	}
	s.conn.Close()
	if earlier != nil {
		<-earlier.left
	}
	close(s.left)
	close(s.settled)
	s.logEnd(s.ending)
	if earlier != nil {
		<-earlier.ended
	}
	s.server.forget(s)
	close(s.ended)
}

// logEnd logs how the session ended, but of the same client, or for the same
// trouble of the store, once a minute only.
func (s *session) logEnd(why *ending) {
	if why.err == nil {
		s.log.Debug("client disconnected")
		return
	}
	level, what, about := slog.LevelInfo, "client lost", s.about("the end")
	if why.code != 0 {
		level, what = slog.LevelWarn, "client disconnected by us"
	}
	var fault *storeFault
	if errors.As(why.err, &fault) {
		about = "the store" // all clients have the same trouble
	}
	if !s.server.logged.first(about, time.Now()) {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, what, "reason", why.err)
}

// about is something about this client, for logged; those whose ids we make are
// all the same to it.
func (s *session) about(what string) string {
	if strings.HasPrefix(s.id, generatedID) {
		return what + " of " + generatedID
	}
	return what + " of " + s.key
}

// giveUp drops what waits for its turn.
func (s *session) giveUp() {
	s.mu.Lock()
	lost := s.intake.forsake(true)
	s.mu.Unlock()
	s.server.stats.refused[refusedNotStored].Add(uint64(lost))
	s.signal()
}

// endingOf translates the error with which reading ended.
func (s *session) endingOf(err error) ending {
	var fault *protocolError
	var store *storeFault
	switch {
	case errors.Is(err, errGoodbye):
		return ending{polite: true, expiry: s.parting}
	case errors.Is(err, errGoodbyeWithWill):
		return ending{expiry: s.parting}
	case errors.As(err, &store):
		return ending{err: err, code: codeUnspecified}
	case errors.Is(err, io.EOF), errors.Is(err, errStopped):
		return ending{}
	case errors.Is(err, errSilent):
		return ending{err: err, code: codeKeepAlive}
	case errors.As(err, &fault):
		return ending{err: err, code: fault.code}
	}
	return ending{err: err}
}

// end begins the end of the session; only the first call counts. It does not
// wait.
func (s *session) end(why ending) {
	s.mu.Lock()
	s.endLocked(why)
	s.mu.Unlock()
}

func (s *session) endLocked(why ending) {
	if s.ending != nil {
		return
	}
	s.ending = &why
	close(s.stopped)
	s.die()
	s.in.stop()
	// What waits for its turn was not acknowledged: at QoS 1 and 2 a client
	// that did not say goodbye sends it again. At QoS 0 it does not.
	if !why.polite {
		s.intake.forsake(false)
	}
	s.conn.SetWriteDeadline(time.Now().Add(farewell))
	s.signal()
}

// patience is how long the client may keep us from reading or writing.
func (s *session) patience() time.Duration {
	if s.keepAlive == 0 {
		return silence
	}
	return s.keepAlive * 3 / 2
}

// signal wakes the writer.
func (s *session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// isDurable says whether the session is kept when the connection ends.
func (s *session) isDurable() bool { return s.kept.Load() }

// offer puts a message into the queue of the client, and says whether it takes
// more. It never waits. A QoS 1 message that does not fit ends the session: its
// client loses it either way, but now it notices, and the messages that wait
// cost no more memory. (A session that is kept will read from the store instead.)
func (s *session) offer(o offered) bool {
	if !s.allowed().mayRead(o.message.Topic) { // its subscription is older than what it may do now
		return true
	}
	if o.message.Expiry > 0 {
		o.since = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != nil {
		return false
	}
	switch s.out.offer(o) {
	case dropped:
		s.server.stats.dropped.Add(1)
	case overflow:
		s.server.stats.dropped.Add(1)
		s.endLocked(ending{err: errSlow, code: codeQuota})
		return false
	default:
		if s.out.queue.len() == 1 {
			s.signal()
		}
	}
	return true
}

// throttle waits until there is room for what the next packet may bring. A
// client that keeps us waiting for too long is disconnected (S5.2).
func (s *session) throttle() error {
	s.mu.Lock()
	ahead, replies := s.intake.full(), s.owes()
	s.mu.Unlock()
	if !ahead && !replies {
		return nil
	}
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	for ahead || replies {
		select {
		case <-s.drained:
		case <-s.stopped:
			return errStopped
		case <-timer.C:
			if ahead {
				return &protocolError{code: codeQuota, text: errAhead}
			}
			return &protocolError{code: codeQuota, text: errUnread}
		}
		s.mu.Lock()
		ahead, replies = s.intake.full(), s.owes()
		s.mu.Unlock()
	}
	return s.in.wait() // the time that we waited is not the client's
}

// drain tells the reader that something was taken away.
func (s *session) drain() {
	select {
	case s.drained <- struct{}{}:
	default:
	}
}

// after makes the publishes of s wait until an earlier session of the same client
// has ended and its will was published, so that they do not overtake what it still
// has. Either may be nil.
func (s *session) after(earlier *session, will <-chan struct{}) {
	if earlier == nil && will == nil {
		return
	}
	s.mu.Lock()
	s.waits = true
	s.mu.Unlock()
	go func() {
		if earlier != nil {
			<-earlier.ended
			if s.fresh { // what it has left belongs to it alone
				s.server.options.Sessions.EndExchanges(s.key)
			}
		}
		if will != nil {
			<-will
		}
		s.room()
	}()
}

var (
	errGoodbye         = errors.New("DISCONNECT")
	errGoodbyeWithWill = errors.New("DISCONNECT with will")
	errSlow            = errors.New("it reads too slowly: 4 MiB were waiting for it; let it read faster, subscribe to less, or subscribe at QoS 0")
	errTakenOver       = errors.New("another client has connected with the same client id")
)

const (
	errAhead  = "its messages cannot be stored as fast as it sends them, and 1 MiB has been waiting for 1.5 times the keepalive"
	errUnread = "it does not read our answers"
)

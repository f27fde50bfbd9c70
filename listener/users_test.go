package listener

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/mqttdb/mqttdb/types"
)

// hashOf is a hash that is quick to verify.
func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// sensorAndReader are two users that may do little.
func sensorAndReader(t testing.TB) []User {
	return []User{
		{Name: "sensor", PasswordHash: hashOf(t, "secret"), Publish: []string{"sensors/+/temp"}, Subscribe: []string{"cmd/#"}},
		{Name: "reader", PasswordHash: hashOf(t, "other"), Subscribe: []string{"sensors/#", "rooms/+", "$SYS/broker/uptime"}},
	}
}

// everywhere is an address that is not loopback, as it seems.
var everywhere = Endpoint{Addr: "127.0.0.1:0", foreign: true}

// loginPacket is a CONNECT; a nil user or password is not sent.
func loginPacket(version byte, id string, user, password *string, will string) []byte {
	flags := byte(2)
	parts := [][]byte{str(id)}
	if will != "" {
		flags |= 4 | 1<<3
		if version == mqtt5 {
			parts = append(parts, []byte{0})
		}
		parts = append(parts, str(will), str("gone"))
	}
	if user != nil {
		flags |= 0x80
		parts = append(parts, str(*user))
	}
	if password != nil {
		flags |= 0x40
		parts = append(parts, str(*password))
	}
	name, head := "MQTT", []byte{version, flags, 0, 0}
	if version == mqtt31 {
		name = "MQIsdp"
	}
	if version == mqtt5 {
		head = append(head, 0)
	}
	return packet(0x10, append([][]byte{str(name), head}, parts...)...)
}

// login connects as a user and expects to be let in.
func login(t testing.TB, s *Server, version byte, id, user, password, will string) *rawClient {
	t.Helper()
	c := dialRaw(t, s)
	c.version = version
	c.send(loginPacket(version, id, &user, &password, will))
	if first, body := c.read(); first != 0x20 || body[1] != 0 {
		t.Fatalf("CONNECT as %s was answered with %x %x", user, first, body)
	}
	return c
}

// Who is let in, and what the others are told.
func TestLogin(t *testing.T) {
	text := func(s string) *string { return &s }
	tests := []struct {
		name           string
		user, password *string
		v3, v5         byte // 0: let in
		loopback       byte // the same by 3.1.1 on loopback, where nobody needs a name
	}{
		{"right", text("sensor"), text("secret"), 0, 0, 0},
		{"wrong password", text("sensor"), text("Secret"), 4, codeBadLogin, 4},
		{"password of another", text("sensor"), text("other"), 4, codeBadLogin, 4},
		{"the hash as password", text("sensor"), nil, 4, codeBadLogin, 4}, // set below
		{"empty password", text("sensor"), text(""), 4, codeBadLogin, 4},
		{"no password", text("sensor"), nil, 4, codeBadLogin, 4},
		{"password with NUL and more", text("sensor"), text("secret\x00x"), 4, codeBadLogin, 4},
		{"password of 73 bytes", text("sensor"), text(strings.Repeat("x", 73)), 4, codeBadLogin, 4},
		{"unknown user", text("nobody"), text("secret"), 4, codeBadLogin, 4},
		{"empty user", text(""), text("secret"), 4, codeBadLogin, 4},
		{"other case", text("Sensor"), text("secret"), 4, codeBadLogin, 4},
		{"space behind", text("sensor "), text("secret"), 4, codeBadLogin, 4},
		{"wildcard", text("+"), text("secret"), 4, codeBadLogin, 4},
		{"nobody", nil, nil, 5, codeNotAuthorized, 0},
	}
	users := sensorAndReader(t)
	tests[3].password = &users[0].PasswordHash
	s, _ := start(t, Options{Sink: &testSink{}, Users: users, Endpoints: []Endpoint{everywhere}})
	home, _ := start(t, Options{Sink: &testSink{}, Users: users})
	open, _ := start(t, Options{Sink: &testSink{}, Users: users, Endpoints: []Endpoint{{Addr: everywhere.Addr, foreign: true, AllowAnonymous: true}}})
	try := func(t *testing.T, s *Server, version byte, user, password *string) byte {
		c := dialRaw(t, s)
		c.send(loginPacket(version, "c", user, password, ""))
		first, body := c.read()
		if first != 0x20 {
			t.Fatalf("answered with %x %x", first, body)
		}
		if body[1] != 0 {
			if last, _ := c.expectClosed(); last != 0 {
				t.Errorf("%x came behind a refusal", last)
			}
		}
		return body[1]
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := try(t, s, mqtt311, test.user, test.password); got != test.v3 {
				t.Errorf("3.1.1 got %d, want %d", got, test.v3)
			}
			if got := try(t, s, mqtt31, test.user, test.password); got != test.v3 {
				t.Errorf("3.1 got %d, want %d", got, test.v3)
			}
			if got := try(t, s, mqtt5, test.user, test.password); got != test.v5 {
				t.Errorf("5 got %x, want %x", got, test.v5)
			}
			if got := try(t, home, mqtt311, test.user, test.password); got != test.loopback {
				t.Errorf("on loopback 3.1.1 got %d, want %d", got, test.loopback)
			}
			if got := try(t, open, mqtt311, test.user, test.password); got != test.loopback {
				t.Errorf("with allow_anonymous 3.1.1 got %d, want %d", got, test.loopback)
			}
		})
	}
	t.Run("no users", func(t *testing.T) {
		s, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{everywhere}})
		if got := try(t, s, mqtt311, text("sensor"), text("secret")); got != 5 {
			t.Errorf("somebody got %d, want 5", got)
		}
		if got := try(t, s, mqtt311, nil, nil); got != 5 {
			t.Errorf("nobody got %d, want 5", got)
		}
	})
}

// A verification that went well is remembered, a password that was wrong is not,
// and what is remembered ends with the password.
func TestProof(t *testing.T) {
	users := sensorAndReader(t)
	s, _ := start(t, Options{Sink: &testSink{}, Users: users, Endpoints: []Endpoint{everywhere}})
	proof := func() bool { return (*s.users.Load())["sensor"].proof.Load() != nil }
	bad := dialRaw(t, s)
	user, wrong := "sensor", "wrong"
	bad.send(loginPacket(mqtt311, "c", &user, &wrong, ""))
	bad.expectClosed()
	if proof() {
		t.Fatal("a wrong password is remembered")
	}
	login(t, s, mqtt311, "c", "sensor", "secret", "")
	if !proof() {
		t.Fatal("a right password is not remembered")
	}
	// With every turn taken only those who are remembered come in.
	for range 64 {
		s.verifier.line.enter(hostOf("192.0.2.1:1"))
	}
	login(t, s, mqtt311, "c", "sensor", "secret", "")
	users[0].Publish = nil
	if err := s.SetUsers(users); err != nil {
		t.Fatal(err)
	}
	if !proof() {
		t.Error("forgotten although the password is the same")
	}
	users[0].PasswordHash = hashOf(t, "new")
	if err := s.SetUsers(users); err != nil {
		t.Fatal(err)
	}
	if proof() {
		t.Error("remembered although the password is another")
	}
}

// Whether a user exists cannot be told by the time that an answer takes: the same
// is computed.
func TestDecoy(t *testing.T) {
	v := newVerifier()
	all, err := newUsers([]User{
		{Name: "cheap", PasswordHash: hashOf(t, "x")},
		{Name: "dear", PasswordHash: "$2a$08$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	decoy := v.decoy(all)
	if cost, err := bcrypt.Cost(decoy); cost != 8 || err != nil {
		t.Errorf("cost %d, %v", cost, err)
	}
	if string(v.decoy(all)) != string(decoy) {
		t.Error("made anew for each login")
	}
}

// Many wrong passwords from one host do not keep another host from logging in,
// and what waits is bounded.
func TestManyLogins(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}, Users: sensorAndReader(t), Endpoints: []Endpoint{everywhere}})
	holder := s.verifier.line.enter(hostOf("192.0.2.9:1"))
	for s.verifier.line.free > 0 {
		s.verifier.line.enter(hostOf("192.0.2.9:1"))
	}
	var crowd []*ticket
	for range 2 * maxLogins {
		crowd = append(crowd, s.verifier.line.enter(hostOf("192.0.2.1:1")))
	}
	refused := 0
	for _, k := range crowd {
		select {
		case mine := <-k.called:
			if mine {
				t.Fatal("a turn although all are taken")
			}
			refused++
		default:
		}
	}
	if refused != maxLogins {
		t.Errorf("%d of %d lost their place, want %d", refused, len(crowd), maxLogins)
	}
	in := make(chan bool)
	go func() {
		user, password := "sensor", "secret"
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port(s)))
		if err == nil {
			defer c.Close()
			c.Write(loginPacket(mqtt311, "c", &user, &password, ""))
			answer := make([]byte, 4)
			_, err = io.ReadFull(c, answer)
			in <- err == nil && answer[3] == 0
			return
		}
		in <- false
	}()
	waits := func() bool {
		s.verifier.line.mu.Lock()
		defer s.verifier.line.mu.Unlock()
		return len(s.verifier.line.waiting) == 2
	}
	until(t, s, "the client waits", func(Stats) bool { return waits() })
	s.verifier.line.leave(holder) // the crowd's turn
	var first *ticket
	for _, k := range crowd {
		select {
		case mine := <-k.called:
			if mine {
				first = k
			}
		default:
		}
	}
	if first == nil {
		t.Fatal("nobody's turn")
	}
	s.verifier.line.leave(first) // then that of the other host, and not the crowd's
	select {
	case ok := <-in:
		if !ok {
			t.Error("not let in")
		}
	case <-time.After(10 * time.Second):
		t.Error("the crowd was served first")
	}
}

// What a user may not publish is not stored, nor delivered to anybody: 3.1.1
// clients are answered all the same, as mosquitto does, those of 5 are told.
func TestPublishFilters(t *testing.T) {
	tests := []struct {
		topic string
		ok    bool
	}{
		{"sensors/1/temp", true}, {"sensors//temp", true}, {"sensors/../temp", true}, // a level like any other
		{"sensors/1/temp/x", false}, {"sensors/1", false}, {"sensors/../x", false}, {"/sensors/1/temp", false},
		{"sensors/1/Temp", false}, {"sensors/1/temp/", false}, {"SENSORS/1/temp", false}, {"cmd/x", false},
		{"$SYS/broker/uptime", false}, {"$mqttdb/x", false}, {"$share/g/sensors/1/temp", false},
		{"sensors/%2e/../temp", false}, {"sensors/1/temp\u200b", false},
	}
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink, Users: sensorAndReader(t)})
	witness := connectRaw(t, s, mqtt311, "witness", "", 0)
	witness.subscribe("#", 0)
	stored := 0
	for i, test := range tests {
		for _, version := range []byte{mqtt31, mqtt311, mqtt5} {
			c := login(t, s, version, fmt.Sprint("c", version), "sensor", "secret", "")
			code := byte(0)
			if !test.ok && version == mqtt5 {
				code = codeNotAuthorized
			}
			c.send(publishPacket(version, test.topic, []byte("v"), 1, 7, false, i%2 == 0))
			c.expect(appendAck(nil, pubackKind, 7, code, version))
			c.send(publishPacket(version, test.topic, []byte("v"), 2, 8, false, false))
			c.expect(appendAck(nil, pubrecKind, 8, code, version))
			c.publish(test.topic, "v", 0, 0, false)
			c.expectSilence()
			if test.ok {
				stored += 3
			}
		}
		sink.count(t, stored)
	}
	for range stored {
		if m, _ := witness.message(); !types.Matches("sensors/+/temp", m.Topic) {
			t.Errorf("%s was delivered", m.Topic)
		}
	}
	witness.expectSilence()
	want := uint64(0)
	for _, test := range tests {
		if !test.ok {
			want += 9
		}
	}
	if got := s.Stats().Refused["not_allowed"]; got != want {
		t.Errorf("%d counted as refused, want %d", got, want)
	}
}

// A subscription is granted only if what the user may read covers all of it.
func TestSubscribeFilters(t *testing.T) {
	tests := []struct {
		filter string
		ok     bool
	}{
		{"sensors/#", true}, {"sensors/+/temp", true}, {"sensors", true}, {"$SYS/broker/uptime", true},
		{"rooms/+", true}, {"rooms/1", true}, {"rooms/#", false}, {"rooms/+/+", false},
		{"#", false}, {"+/#", false}, {"+/1/temp", false}, {"sensor/#", false}, {"/sensors/#", false}, {"Sensors/#", false},
		{"$SYS/#", false}, {"$SYS/broker/+", false}, {"$SYS/broker/uptime/#", false}, {"cmd/#", false},
		{"$share/g/sensors/#", false}, {"$queue/sensors/#", false}, {"$mqttdb/#", false},
	}
	s, _ := start(t, Options{Sink: &testSink{}, Users: sensorAndReader(t)})
	anybody := connectRaw(t, s, mqtt311, "anybody", "", 0)
	for _, topic := range []string{"secret/1", "cmd/x", "sensors/1/temp"} {
		anybody.send(publishPacket(mqtt311, topic, []byte("v"), 1, 1, false, true)) // retained
		anybody.expect(ackPacket(pubackKind, 1))
	}
	for _, version := range []byte{mqtt31, mqtt311, mqtt5} {
		for _, test := range tests {
			c := login(t, s, version, fmt.Sprint("c", version), "reader", "other", "")
			c.send(subscribePacket(version, 1, test.filter, 1))
			first, body := c.read()
			code := body[len(body)-1]
			want := byte(1)
			if !test.ok {
				want = 0x80
				if version == mqtt5 {
					want = codeNotAuthorized
					if strings.HasPrefix(test.filter, "$share/") {
						want = codeNoShared
					}
				}
			}
			if first != 0x90 || code != want {
				t.Errorf("version %d: %q was answered with %x, want %x", version, test.filter, code, want)
			}
			anybody.publish("secret/2", "v", 1, 1, false)
			anybody.expect(ackPacket(pubackKind, 1))
			if !test.ok {
				c.expectSilence()
			}
			c.Close()
		}
	}
}

// The will of a user goes where its publishes may go, and nowhere else.
func TestWillFilters(t *testing.T) {
	for topic, ok := range map[string]bool{"sensors/1/temp": true, "alarms/fire": false, "$SYS/broker/uptime": false, "$mqttdb/x": false} {
		for _, version := range []byte{mqtt311, mqtt5} {
			t.Run(fmt.Sprint(topic, version), func(t *testing.T) {
				sink := &testSink{}
				s, _ := start(t, Options{Sink: sink, Users: sensorAndReader(t)})
				witness := connectRaw(t, s, mqtt311, "witness", "", 0)
				witness.subscribe("#", 0)
				c := login(t, s, version, "c", "sensor", "secret", topic)
				c.Close()
				if ok {
					sink.count(t, 1)
					if m, _ := witness.message(); m.Topic != topic {
						t.Errorf("%s was delivered", m.Topic)
					}
					return
				}
				until(t, s, "the will is refused", func(now Stats) bool { return now.Refused["not_allowed"] == 1 })
				sink.count(t, 0)
				witness.expectSilence()
			})
		}
	}
}

// Nobody gets another user's session by its client id, and ids and names that
// look like wildcards or placeholders are nothing but text.
func TestClientIDs(t *testing.T) {
	users := append(sensorAndReader(t),
		User{Name: "+", PasswordHash: hashOf(t, "x"), Publish: []string{"own/%u/#", "id/%c/#"}, Subscribe: []string{"own/%u/#"}})
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink, Users: users})
	sensor := login(t, s, mqtt5, "same", "sensor", "secret", "")
	reader := login(t, s, mqtt5, "same", "reader", "other", "")
	nobody := connectRaw(t, s, mqtt5, "same", "", 0)
	for _, c := range []*rawClient{sensor, reader, nobody} {
		c.expectSilence()
	}
	again := login(t, s, mqtt5, "same", "sensor", "secret", "")
	if first, body := sensor.expectClosed(); first != 0xE0 || body[0] != codeTakenOver {
		t.Errorf("the earlier session was told %x %x", first, body)
	}
	again.expectSilence()
	for _, id := range []string{"#", "+", "%u", "%c", "sensor", "../sensor", "sensors/1/temp", "auto-", "reader"} {
		c := login(t, s, mqtt5, id, "+", "x", "")
		for _, topic := range []string{"own/" + id + "/x", "id/" + id + "/x", "sensors/1/temp"} {
			if topic == "own/%u/x" || topic == "id/%c/x" || types.CheckTopic(topic) != nil {
				continue // literally allowed, or no topic
			}
			c.publish(topic, "v", 1, 1, false)
			c.expect(appendAck(nil, pubackKind, 1, codeNotAuthorized, mqtt5))
		}
		c.publish("own/%u/x", "v", 1, 1, false)
		c.expect(appendAck(nil, pubackKind, 1, 0, mqtt5))
	}
}

// A change of the users counts at once: who may do less is disconnected, the
// others are not disturbed.
func TestSetUsers(t *testing.T) {
	users := sensorAndReader(t)
	users = append(users, User{Name: "gone", PasswordHash: hashOf(t, "x"), Publish: []string{"#"}},
		User{Name: "wider", PasswordHash: hashOf(t, "x"), Publish: []string{"a/+"}},
		User{Name: "password", PasswordHash: hashOf(t, "x"), Publish: []string{"#"}},
		User{Name: "same", PasswordHash: hashOf(t, "x"), Publish: []string{"#"}})
	s, _ := start(t, Options{Sink: &testSink{}, Users: users, Endpoints: []Endpoint{everywhere}})
	clients := map[string]*rawClient{"sensor": login(t, s, mqtt5, "1", "sensor", "secret", "")}
	for _, name := range []string{"gone", "wider", "password", "same"} {
		clients[name] = login(t, s, mqtt5, "1", name, "x", "")
	}
	before := *s.users.Load()
	if err := s.SetUsers([]User{{Name: "broken", PasswordHash: "x"}}); err == nil {
		t.Error("users that are wrong are accepted")
	}
	if after := *s.users.Load(); after["same"] != before["same"] {
		t.Error("users that are wrong changed something")
	}
	users[0].Subscribe = nil // sensor
	users[3].Publish = []string{"a/#"}
	users[4].PasswordHash = hashOf(t, "y")
	if err := s.SetUsers(append(users[:2:2], users[3:]...)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "password", "sensor"} {
		if first, body := clients[name].expectClosed(); first != 0xE0 || body[0] != codeAdministrative {
			t.Errorf("%s was told %x %x", name, first, body)
		}
	}
	for _, name := range []string{"wider", "same"} {
		clients[name].publish("a/b", "v", 1, 1, false)
		clients[name].expect(appendAck(nil, pubackKind, 1, 0, mqtt5))
	}
	clients["wider"].publish("a/b/c", "v", 1, 1, false)
	clients["wider"].expect(appendAck(nil, pubackKind, 1, 0, mqtt5))
	c := dialRaw(t, s)
	user, password := "gone", "x"
	c.send(loginPacket(mqtt311, "1", &user, &password, ""))
	c.expect([]byte{0x20, 2, 0, 4})
}

// Whoever logs in while the users change is let in as they are now, or not at
// all.
func TestSetUsersDuringALogin(t *testing.T) {
	users := sensorAndReader(t)
	s, _ := start(t, Options{Sink: &testSink{}, Users: users})
	stale := (*s.users.Load())["sensor"]
	conn, _ := net.Pipe()
	c := newSession(s, conn, newPacketReader(conn, 1), connect{version: mqtt5, clientID: "c"}, stale)
	if err := s.SetUsers(users[1:]); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.enter(c); ok {
		t.Error("let in, although the user is gone")
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "[fe80::1]:1": false, "128.0.0.1:1": false,
	} {
		if got := loopback(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if loopback(&net.UnixAddr{}) {
		t.Error("not an address of TCP")
	}
}

func TestPasswordHashes(t *testing.T) {
	for _, password := range []string{"", strings.Repeat("x", 73)} {
		if _, err := HashPassword([]byte(password)); err == nil {
			t.Errorf("a password of %d bytes is accepted", len(password))
		}
	}
	costly := "$2a$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	for _, hash := range []string{"", "secret", "$2a$10$", costly, "$argon2id$v=19$m=65536"} {
		if err := CheckUsers([]User{{Name: "u", PasswordHash: hash}}); err == nil {
			t.Errorf("the hash %q is accepted", hash)
		}
	}
	good := User{Name: "u", PasswordHash: hashOf(t, "x")}
	if err := CheckUsers([]User{good, good}); err == nil {
		t.Error("a user that is there twice is accepted")
	}
}

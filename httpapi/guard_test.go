package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/httpapi"
)

const token = "correct-horse-battery-staple"

// book is a log that is read while it is written.
type book struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *book) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A page of another site must neither read nor change anything.
func TestGuard(t *testing.T) {
	base := start(t, &fakeRuntime{})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	unmarked := func(r *http.Request) { r.Header.Del("X-Mqttdb") }
	set := func(key, value string) func(*http.Request) {
		return func(r *http.Request) { unmarked(r); r.Header.Set(key, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		read   int // of GET
		write  int // of POST
	}{
		{"as it is", nil, 200, 200},
		{"localhost", host("localhost:" + port), 200, 200},
		{"IPv6", host("[::1]:" + port), 200, 200},
		{"allowed host", host("GW.example:" + port), 200, 200},
		{"rebound name", host("evil.example:" + port), 403, 403},
		{"name like loopback", host("127.0.0.1.evil.example"), 403, 403},
		{"name like an allowed host", host("gw.example.evil.example"), 403, 403},
		{"own origin", func(r *http.Request) { r.Header.Set("Origin", base) }, 200, 200},
		{"own origin by another scheme", func(r *http.Request) { r.Header.Set("Origin", "https"+strings.TrimPrefix(base, "http")) }, 403, 403},
		{"own origin by another port", func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }, 403, 403},
		{"foreign origin", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403, 403},
		{"two origins", func(r *http.Request) { r.Header["Origin"] = []string{base, "http://evil.example"} }, 403, 403},
		{"no origin to speak of", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, 403},
		{"an empty origin", func(r *http.Request) { r.Header["Origin"] = []string{""} }, 403, 403},
		{"cross-site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, 403},
		{"same-site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403, 403},
		{"by nobody in particular", unmarked, 200, 403},
		{"by a form", set("Content-Type", "application/x-www-form-urlencoded"), 200, 403},
		{"by a form of text", set("Content-Type", "text/plain"), 200, 403},
		{"what looks like JSON", set("Content-Type", "text/plain; application/json"), 200, 403},
		{"JSON", set("Content-Type", "application/json; charset=utf-8"), 200, 200},
		{"same-origin", set("Sec-Fetch-Site", "same-origin"), 200, 200},
		{"by the user", set("Sec-Fetch-Site", "none"), 200, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, answer := call(t, "GET", base+"/api/connections", "", c.change); code != c.read {
				t.Errorf("GET: %d %s, want %d", code, answer, c.read)
			}
			if code, answer := call(t, "POST", base+"/api/connections/cloud/pause", "", c.change); code != c.write {
				t.Errorf("POST: %d %s, want %d", code, answer, c.write)
			}
		})
	}
}

// Every request that changes something asks for the same proof, and where a token is
// set every route but the probes asks for it.
func TestEveryRouteIsGuarded(t *testing.T) {
	rt := &fakeRuntime{}
	s := listen(t, rt, func(o *httpapi.Options) { o.Token = token; o.Demo = func(string) error { return nil } })
	fill := strings.NewReplacer("{name}", "cloud", "{seq}", "5", "{consumer}", "alarms", "{verb}", "cut")
	for _, r := range s.Routes() {
		t.Run(r, func(t *testing.T) {
			method, path, _ := strings.Cut(r, " ")
			url := "http://" + s.Addr().String() + fill.Replace(path)
			code, text := call(t, method, url, "", nil)
			if open := path == "/healthz" || path == "/readyz"; open != (code == 200) || !open && code != 401 {
				t.Errorf("without a token: %d %s", code, text)
			}
			if method == "GET" {
				return
			}
			code, text = call(t, method, url, "", func(r *http.Request) {
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Del("X-Mqttdb")
			})
			if code != 403 || !strings.Contains(text, "X-Mqttdb: 1") {
				t.Errorf("without a sign that it is meant: %d %s", code, text)
			}
		})
	}
}

func TestToken(t *testing.T) {
	var log book
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Token = token; o.Logger = log.logger() })
	base := "http://" + s.Addr().String()
	bearer := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", text) }
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		code   int
	}{
		{"none", nil, 401},
		{"the right one", bearer("Bearer " + token), 200},
		{"the right one, in other letters", bearer("bearer " + token), 200},
		{"a wrong one", bearer("Bearer " + token + "x"), 401},
		{"the beginning of it", bearer("Bearer " + token[:len(token)-1]), 401},
		{"an empty one", bearer("Bearer "), 401},
		{"as a password", bearer("Basic " + base64.StdEncoding.EncodeToString([]byte(":"+token))), 401},
		{"in the URL", func(r *http.Request) { r.URL.RawQuery = "token=" + token }, 401},
		{"as a cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "token", Value: token}) }, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, text := call(t, "GET", base+"/api/connections", "", c.change)
			if code != c.code || strings.Contains(text, token) {
				t.Errorf("%d %s, want %d", code, text, c.code)
			}
		})
	}
	limited := false
	for range 100 {
		code, _ := call(t, "GET", base+"/api/connections", "", bearer("Bearer guess"))
		limited = limited || code == 429
	}
	if !limited {
		t.Error("one may guess as often as one likes")
	}
	if code, _ := call(t, "GET", base+"/api/connections", "", bearer("Bearer "+token)); code != 200 {
		t.Errorf("%d: whoever guesses locks others out", code)
	}
	if strings.Contains(log.String(), token) || strings.Contains(log.String(), "guess") || !strings.Contains(log.String(), "the token is wrong") {
		t.Errorf("the log has %s", log.String())
	}
	if n := strings.Count(log.String(), "a request was refused"); n > 30 {
		t.Errorf("%d lines on what was refused", n)
	}
}

func TestCheckToken(t *testing.T) {
	for text, good := range map[string]bool{"": false, "qwertz": false, token: true, "with blanks in between": false, strings.Repeat("é", 20): false} {
		err := httpapi.CheckToken(text)
		if (err == nil) != good || err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The stream is guarded as everything is; its token comes with the subprotocols.
func TestStreamIsGuarded(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Token = token })
	base := "ws://" + s.Addr().String() + "/api/stream"
	coded := func(text string) string { return "mqttdb.token." + base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for _, c := range []struct {
		name      string
		protocols []string
		header    http.Header
		code      int
	}{
		{"with the token", []string{"mqttdb", coded(token)}, nil, 101},
		{"with the token, as a program", nil, http.Header{"Authorization": {"Bearer " + token}}, 101},
		{"from its own page", []string{"mqttdb", coded(token)}, http.Header{"Origin": {"http://" + s.Addr().String()}}, 101},
		{"without", []string{"mqttdb"}, nil, 401},
		{"with a wrong one", []string{"mqttdb", coded("x" + token)}, nil, 401},
		{"in clear text", []string{"mqttdb", "mqttdb.token." + token}, nil, 401},
		{"from another page", []string{"mqttdb", coded(token)}, http.Header{"Origin": {"http://evil.example"}}, 403},
		{"by another name", []string{"mqttdb", coded(token)}, http.Header{"Host": {"evil.example"}}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialer := websocket.Dialer{Subprotocols: c.protocols}
			conn, res, err := dialer.DialContext(t.Context(), base, c.header)
			if res == nil || res.StatusCode != c.code {
				t.Fatalf("%+v %v, want %d", res, err, c.code)
			}
			if said := fmt.Sprint(res.Header); strings.Contains(said, coded(token)) {
				t.Errorf("the token is repeated: %s", said)
			}
			if conn == nil {
				return
			}
			defer conn.Close()
			if len(c.protocols) > 0 && conn.Subprotocol() != "mqttdb" {
				t.Errorf("the protocol is %q", conn.Subprotocol())
			}
			if _, text, err := conn.ReadMessage(); err != nil || !strings.Contains(string(text), `"type":"hello"`) {
				t.Errorf("%s %v", text, err)
			}
		})
	}
}

// Bodies are as long as what is asked needs, also where nobody says how long.
func TestBodies(t *testing.T) {
	base := start(t, &fakeRuntime{})
	for _, c := range []struct {
		name, path string
		size       int
		chunked    bool
		code       int
	}{
		{"a message", "/api/publish?topic=a", 100, false, 201},
		{"a message that is too large", "/api/publish?topic=a", 101, false, 413},
		{"one of unknown length", "/api/publish?topic=a", 100, true, 201},
		{"one that is too large, of unknown length", "/api/publish?topic=a", 101, true, 413},
		{"what nobody reads", "/api/connections/cloud/pause", 1 << 20, false, 413},
		{"a large one", "/api/connections/cloud/publish?topic=a", 64 << 20, false, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, text := call(t, "POST", base+c.path, strings.Repeat("x", c.size), func(r *http.Request) {
				if c.chunked {
					r.ContentLength = -1
				}
			})
			if code != c.code {
				t.Errorf("%d %s, want %d", code, text, c.code)
			}
		})
	}
}

// Whoever sends a header or a body byte by byte is not waited for.
func TestSlowRequests(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.SetReadTime(200 * time.Millisecond) })
	for _, c := range []struct{ name, begins, answered string }{
		{"header", "GET /api/connections HTTP/1.1\r\nHost: localhost\r\nX-", ""},
		{"body", "POST /api/publish?topic=a HTTP/1.1\r\nHost: localhost\r\nX-Mqttdb: 1\r\nContent-Length: 50\r\n\r\nabc", "HTTP/1.1 408 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.begins); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			text, err := io.ReadAll(bufio.NewReader(conn))
			if err != nil || !strings.HasPrefix(string(text), c.answered) {
				t.Errorf("%q %v, want %s and the end", text, err, c.answered)
			}
		})
	}
}

// Whatever stands in a path is a name, or nothing.
func TestPathTricks(t *testing.T) {
	var log book
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Logger = log.logger() })
	for _, name := range []string{
		"..%2f..%2fetc%2fpasswd", "%2e%2e", "..%5c..%5cwindows", "cloud%00", "cloud%0aevil=1", "cloud%2foutgoing", "%3Cscript%3E", "CLOUD", "cloud%20", "%ff%fe", "cloud%252f",
	} {
		for _, r := range []string{"GET ", "GET /messages", "GET /export", "GET /consumers", "POST /clear", "POST /pause", "POST /compact", "POST /replay", "POST /publish?topic=a", "POST /import", "DELETE /messages/5"} {
			method, rest, _ := strings.Cut(r, " ")
			code, text := call(t, method, "http://"+s.Addr().String()+"/api/connections/"+name+rest, "", func(r *http.Request) {
				r.URL.RawPath = "/api/connections/" + name + strings.Split(rest, "?")[0]
			})
			if code != 404 || strings.Contains(text, "<") {
				t.Errorf("%s %s: %d %s", r, name, code, text)
			}
		}
	}
	if strings.Contains(log.String(), "\nevil=1") {
		t.Error("a name begins a line of the log")
	}
}

// Every answer says how a browser has to treat it.
func TestHeaders(t *testing.T) {
	base := start(t, &fakeRuntime{})
	for _, path := range []string{"/healthz", "/api/connections", "/api/connections/cloud/export", "/nothing", "/metrics"} {
		res, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		for key, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
		} {
			if got := res.Header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got, want)
			}
		}
		for key := range res.Header {
			if strings.HasPrefix(key, "Access-Control-") || key == "Server" {
				t.Errorf("%s has %s", path, key)
			}
		}
	}
}

// A program that runs wild is slowed down, and the health is told all the same.
func TestPace(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.SetPace(3) })
	base := "http://" + s.Addr().String()
	limited := 0
	for range 1000 { // far faster than three a second
		res, err := http.Get(base + "/nothing")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 429 && res.Header.Get("Retry-After") != "" {
			limited++
			break
		}
	}
	if code, _ := call(t, "GET", base+"/healthz", "", nil); code != 200 || limited == 0 {
		t.Errorf("%d were slowed down; the health is %d", limited, code)
	}
}

// Each change has a line in the log that says what, where and by whom.
func TestAudit(t *testing.T) {
	rt := &fakeRuntime{}
	var log book
	s := listen(t, rt, func(o *httpapi.Options) { o.Logger = log.logger(); o.Demo = func(string) error { return nil } })
	fill := strings.NewReplacer("{name}", "cloud", "{seq}", "5", "{consumer}", "alarms%201", "{verb}", "cut")
	for _, r := range s.Routes() {
		method, path, _ := strings.Cut(r, " ")
		if method == "GET" {
			continue
		}
		t.Run(r, func(t *testing.T) {
			before := len(log.String())
			query := "?topic=a&timeout=1ms"
			if strings.HasSuffix(path, "requeue") || strings.HasSuffix(path, "{seq}") {
				query = "?queue=dead"
			}
			code, text := call(t, method, "http://"+s.Addr().String()+fill.Replace(path)+query, "", nil)
			if code >= 300 {
				t.Fatalf("%d %s", code, text)
			}
			said := log.String()[before:]
			if strings.Count(said, "by request") != 1 || !strings.Contains(said, "from=127.0.0.1:") || strings.Contains(path, "{name}") && !strings.Contains(said, "conn=cloud") {
				t.Errorf("the log has %q", said)
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		name, unread, says string
		code               int
	}{
		{"ready", "", `{"status":"ready"}`, 200},
		{"a store that cannot be opened", "disk full", `"reason":"1 queues could not be opened`, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := start(t, &fakeRuntime{unread: c.unread})
			if code, text := call(t, "GET", base+"/readyz", "", nil); code != c.code || !strings.Contains(text, c.says) || strings.Contains(text, "cloud") {
				t.Errorf("%d %s", code, text)
			}
		})
	}
}

// A demonstration is told what to show; a gateway that is none has no such requests.
func TestDemo(t *testing.T) {
	told := make(chan string, 1)
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Demo = func(verb string) error { told <- verb; return nil } })
	for _, verb := range []string{"cut", "mend", "fill", "free", "kill"} {
		if code, text := call(t, "POST", "http://"+s.Addr().String()+"/api/demo/"+verb, "", nil); code != 202 || text != `{"status":"`+verb+`"}` {
			t.Errorf("%s: %d %s", verb, code, text)
		}
		if got := <-told; got != verb {
			t.Errorf("told %s, want %s", got, verb)
		}
	}
	if code, _ := call(t, "POST", "http://"+s.Addr().String()+"/api/demo/explode", "", nil); code != 404 {
		t.Errorf("explode: %d", code)
	}
	if code, _ := call(t, "POST", start(t, &fakeRuntime{})+"/api/demo/kill", "", nil); code != 404 {
		t.Errorf("a gateway that is no demonstration: %d", code)
	}
}

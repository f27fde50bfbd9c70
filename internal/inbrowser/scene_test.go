package inbrowser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// policy is the Content-Security-Policy that docs/browser.md asks for.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ws: wss:"

// foreignPolicy is that of a page which has mqttdb.js from another origin.
const foreignPolicy = "default-src 'none'; script-src 'self' http://127.0.0.1:* blob: 'wasm-unsafe-eval'; worker-src blob: http://127.0.0.1:*; connect-src http://127.0.0.1:* ws: wss:"

// scene is a browser with what it needs: a broker behind a wire, somebody who notes
// what arrives there, and a server for the pages.
type scene struct {
	t       *testing.T
	root    string
	broker  string // host:port of its MQTT listener
	wire    *wire
	server  *httptest.Server // of pages and of package files
	foreign *httptest.Server // of package files, for pages of another origin

	gone     atomic.Bool   // the server of pages is
	patience time.Duration // with what a page does

	mu      sync.Mutex
	arrived []string // topic and payload of each, in order
}

// built makes the npm package, once for all tests.
var built = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	for _, script := range []string{"browser.sh", "browser-package.sh"} {
		if out, err := exec.Command(filepath.Join(root, "scripts", script)).CombinedOutput(); err != nil {
			return "", fmt.Errorf("scripts/%s: %w\n%s", script, err, out)
		}
	}
	return root, nil
})

// starter starts a broker for pages of an origin, and returns host:port of its listeners
// for MQTT and for WebSockets.
type starter func(t *testing.T, origin string) (mqtt, websocket string)

func withMosquitto(options ...mosquitto.Option) starter {
	return func(t *testing.T, _ string) (string, string) {
		b := mosquitto.Start(t, append(options, mosquitto.WithWebSocket())...)
		return b.Addr(), b.WebSocketAddr()
	}
}

func newScene(t *testing.T, start starter) *scene {
	t.Helper()
	root, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, root: root, patience: 90 * time.Second}
	files := http.FileServer(http.Dir(filepath.Join(root, "bin", "browser")))
	s.foreign = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.foreign.Close)
	pages := http.NewServeMux()
	pages.Handle("/mqttdb.js", secured(policy, files))
	pages.Handle("/mqttdb/", secured(policy, files))
	pages.Handle("/newer/", secured(policy, http.StripPrefix("/newer", newer(files))))
	pages.Handle("/example/", secured(policy+"; style-src 'self'", http.StripPrefix("/example/", http.FileServer(http.Dir(filepath.Join(root, "bin", "browser-example"))))))
	pages.Handle("/page.html", secured(policy, http.HandlerFunc(blank)))
	pages.Handle("/foreign.html", secured(foreignPolicy, http.HandlerFunc(blank)))
	pages.HandleFunc("/test/wire", func(_ http.ResponseWriter, r *http.Request) {
		if still := r.FormValue("still"); still != "" {
			s.wire.silence(still == "true")
			return
		}
		s.wire.set(r.FormValue("cut") == "true")
	})
	pages.HandleFunc("/test/pages", func(_ http.ResponseWriter, r *http.Request) { s.gone.Store(r.FormValue("gone") == "true") })
	pages.HandleFunc("/test/state", s.state)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.gone.Load() && !strings.HasPrefix(r.URL.Path, "/test/") {
			panic(http.ErrAbortHandler) // as if there were no network
		}
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	var websocket string
	s.broker, websocket = start(t, s.server.URL)
	s.wire = newWire(t, websocket)
	return s
}

func secured(policy string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		h.ServeHTTP(w, r)
	})
}

// newer are the files of a version that speaks another protocol.
func newer(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mqttdb/node.js" {
			files.ServeHTTP(w, r)
			return
		}
		var b httptest.ResponseRecorder
		b.Body = new(bytes.Buffer)
		files.ServeHTTP(&b, r)
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, strings.Replace(b.Body.String(), "protocol = 1;", "protocol = 2;", 1))
	})
}

func blank(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<!doctype html><title>a page</title>")
}

// state tells a page's test what has arrived and who is connected.
func (s *scene) state(w http.ResponseWriter, _ *http.Request) {
	open, served := s.wire.count()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"arrived": s.arrived, "open": open, "served": served})
}

// listen notes everything that the broker gets, at QoS 2. With a username, it has the
// password secret.
func (s *scene) listen(username string) {
	s.t.Helper()
	c := mqttdb.ConnectionConfig{Name: "listener", Broker: "mqtt://" + s.broker}
	if username != "" {
		c.Username, c.Password = username, "secret"
	}
	subscribed, down := make(chan struct{}), make(chan struct{})
	var link broker.Link
	ready := make(chan struct{})
	link, _, err := mqttdb.Dial(s.t.Context(), c, broker.ConnectOptions{ClientID: "listener", CleanSession: true}, mqttdb.Hooks{}, func(e broker.Event) {
		switch e := e.(type) {
		case broker.Subscribed:
			close(subscribed)
		case broker.Received:
			<-ready
			s.note(link, e.Packets)
		case broker.Down:
			close(down)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	close(ready)
	s.t.Cleanup(func() {
		link.Close(false)
		<-down
	})
	if err := link.Subscribe(1, []broker.Filter{{Topic: "out/#", QoS: 2}, {Topic: "readings/#", QoS: 2}}); err != nil {
		s.t.Fatal(err)
	}
	<-subscribed
}

func (s *scene) note(link broker.Link, packets []broker.Inbound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range packets {
		if p.Kind == broker.Release {
			_ = link.Acknowledge([]broker.Ack{{Kind: broker.PubComp, ID: p.ID}})
			continue
		}
		s.arrived = append(s.arrived, p.Message.Topic+" "+string(p.Message.Payload))
		switch p.Message.QoS {
		case types.QoS(1):
			_ = link.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: p.ID}})
		case types.QoS(2):
			_ = link.Acknowledge([]broker.Ack{{Kind: broker.PubRec, ID: p.ID}})
		}
	}
}

// play runs page/NAME.mjs, which fails with what it finds.
func (s *scene) play(name string, env ...string) {
	s.t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		s.t.Fatalf("%v: run scripts/setup.sh", err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), s.patience)
	defer cancel()
	look := exec.CommandContext(ctx, "node", "page/"+name+".mjs")
	look.Env = append(os.Environ(), "CHROMIUM="+chromium, "PROFILE="+s.t.TempDir(),
		"MODULES="+filepath.Join(s.root, ".cache", "browser", "node_modules"),
		"SERVER="+s.server.URL, "FOREIGN="+s.foreign.URL, "BROKER=ws://"+s.wire.addr()+"/mqtt")
	look.Env = append(look.Env, env...)
	look.SysProcAttr = orphanless()
	look.Cancel = func() error { return look.Process.Signal(syscall.SIGTERM) } // it ends the browser
	look.WaitDelay = 10 * time.Second
	out, err := look.CombinedOutput()
	if text := strings.TrimSpace(string(out)); text != "" {
		s.t.Log(text)
	}
	if err != nil {
		s.t.Error(err)
	}
}

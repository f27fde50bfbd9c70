package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// fakeRuntime answers as a runtime with one connection, "cloud".
type fakeRuntime struct {
	unread    string // the trouble of a store that was not opened
	published types.Message
	selected  types.Selection
	replay    types.Replay
	asked     string
	imported  []types.Stored
	paused    bool
	last      *httpapi.Reload
	err       error

	watched  chan []types.Status // what Watch tells; nil: nothing
	statuses []types.Status      // instead of that of cloud
}

func (f *fakeRuntime) Watch(context.Context) <-chan []types.Status { return f.watched }

func (f *fakeRuntime) Status() []types.Status {
	if f.statuses != nil {
		return f.statuses
	}
	if f.unread != "" {
		return []types.Status{{Name: "cloud", Outgoing: types.QueueStatus{Unread: true, Trouble: f.unread}}}
	}
	return []types.Status{{Name: "cloud", State: types.Online, Outgoing: types.QueueStatus{Pending: 7}}}
}

func (f *fakeRuntime) known(name string) error {
	if name != "cloud" {
		return types.ErrUnknownConnection
	}
	return f.err
}

func (f *fakeRuntime) Publish(_ context.Context, c string, m types.Message) (types.Seq, error) {
	if err := m.Check(100); err != nil {
		return 0, err
	}
	f.published = m
	return 42, f.known(c)
}

func (f *fakeRuntime) Clear(_ context.Context, c string, s types.Selection) (uint64, error) {
	f.selected = s
	if s.Queue != "" && s.Queue != types.Outgoing && s.Queue != types.DeadLetters {
		return 0, types.ErrUnknownQueue
	}
	return 7, f.known(c)
}

func (f *fakeRuntime) Messages(_ context.Context, c string, queue types.QueueName, after types.Seq, limit int) ([]types.Stored, error) {
	f.asked = fmt.Sprint(queue, " ", after, " ", limit)
	if queue == types.DeadLetters {
		return []types.Stored{{Seq: 5, Message: types.Message{Topic: "t", Payload: []byte{0, 255}, QoS: 1}, Accepted: time.Unix(1, 0).UTC(), Cause: "why"}}, f.known(c)
	}
	return nil, f.known(c)
}

func (f *fakeRuntime) Export(_ context.Context, c string, e types.Extract, each func(*types.Stored) error) error {
	f.asked = fmt.Sprint(e.Queue, " ", e.Filter, " ", e.After, " ", e.Since.IsZero())
	if err := f.known(c); err != nil {
		return err
	}
	for seq := range types.Seq(2) {
		if err := each(&types.Stored{Seq: 5 + seq, Store: "00ff", Message: types.Message{Topic: "t", Payload: []byte{0, 255}, QoS: 1}, Accepted: time.Unix(1, 0)}); err != nil {
			return err
		}
	}
	if e.Queue == types.Incoming {
		return errors.New("the disk is gone")
	}
	return nil
}

func (f *fakeRuntime) Import(_ context.Context, c string, queue types.QueueName, list []types.Stored, again bool) (int, error) {
	if queue == types.DeadLetters {
		return 0, types.ErrUnknownQueue
	}
	f.imported = append(f.imported, list...)
	f.asked = fmt.Sprint(queue, " ", again)
	if len(list) > 1 {
		return 1, f.known(c)
	}
	return len(list), f.known(c)
}

func (f *fakeRuntime) Requeue(_ context.Context, c string, _ types.QueueName, seq types.Seq) (types.Seq, error) {
	if seq != 5 {
		return 0, types.ErrUnknownMessage
	}
	return 6, f.known(c)
}

func (f *fakeRuntime) Remove(_ context.Context, c string, queue types.QueueName, seq types.Seq) error {
	if seq == 7 {
		return types.ErrInFlight
	}
	f.asked = fmt.Sprint(queue, " ", seq)
	return f.known(c)
}

func (f *fakeRuntime) Consumers(_ context.Context, c string) ([]types.ConsumerStatus, error) {
	return []types.ConsumerStatus{{Name: "alarms", Kind: types.NamedConsumer, Filters: []string{"a/#"}, Open: 2, Behind: 3}}, f.known(c)
}

func (f *fakeRuntime) RemoveConsumer(_ context.Context, c, consumer string) (bool, error) {
	f.asked = consumer
	return consumer == "alarms 1", f.known(c)
}

func (f *fakeRuntime) Pause(c string) error  { f.paused = true; return f.known(c) }
func (f *fakeRuntime) Resume(c string) error { f.paused = false; return f.known(c) }

func (f *fakeRuntime) Compact(ctx context.Context, c string, queue types.QueueName) (types.Compaction, error) {
	f.asked = string(queue)
	if queue == types.Incoming {
		<-ctx.Done()
		return types.Compaction{}, ctx.Err()
	}
	return types.Compaction{Reclaimed: 5, Rewritten: 3, Disk: 8}, f.known(c)
}

func (f *fakeRuntime) Replay(ctx context.Context, c string, which types.Replay) (types.Replayed, error) {
	f.replay = which
	if which.From == 17 {
		<-ctx.Done()
		return types.Replayed{}, ctx.Err()
	}
	return types.Replayed{Count: 5, Left: 2}, f.known(c)
}

func (f *fakeRuntime) Forward(ctx context.Context, m types.Message, delivered bool) (map[string]types.Seq, error) {
	if delivered {
		<-ctx.Done()
		return map[string]types.Seq{"cloud": 3}, ctx.Err()
	}
	f.published = m
	return map[string]types.Seq{"cloud": 3}, f.err
}

func (f *fakeRuntime) Drain(ctx context.Context, c string) error {
	if err := f.known(c); err != nil {
		return err
	}
	<-ctx.Done()
	return fmt.Errorf("drain %s: %w", c, ctx.Err())
}

func (f *fakeRuntime) Reload(context.Context, string) (runtime.Reloaded, error) {
	f.last = &httpapi.Reload{Reloaded: runtime.Reloaded{Added: []string{"new"}}}
	return f.last.Reloaded, f.err
}

func (f *fakeRuntime) LastReload() *httpapi.Reload { return f.last }

func start(t *testing.T, rt httpapi.Runtime) string {
	t.Helper()
	return "http://" + listen(t, rt, func(*httpapi.Options) {}).Addr().String()
}

// listen starts a server, with its options as they were changed.
func listen(t *testing.T, rt httpapi.Runtime, change func(*httpapi.Options)) *httpapi.Server {
	t.Helper()
	o := httpapi.Options{
		Addr: "127.0.0.1:0", AllowedHosts: []string{"gw.example"}, MaxMessageSize: 100, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler),
	}
	change(&o)
	s, err := httpapi.Listen(t.Context(), rt, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// call sends a request and returns the code and the body.
func call(t *testing.T, method, url, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Mqttdb", "1")
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Content-Type") == httpapi.NDJSON {
		return res.StatusCode, string(bytes.TrimSpace(text))
	}
	if !json.Valid(text) {
		t.Errorf("%s %s: the answer is no JSON: %q", method, url, text)
	}
	return res.StatusCode, string(bytes.TrimSpace(text))
}

// archived are two messages that can be imported, one that is too large, and a line
// that is damaged.
var archived = `{"mqttdb":1,"store":"00ff","seq":1,"topic":"t","qos":1,"payload":"AA=="}
{"mqttdb":1,"store":"00ff","seq":2,"top
{"mqttdb":1,"store":"00ff","seq":3,"topic":"t","qos":1,"payload":"` + strings.Repeat("AAAA", 50) + `"}
{"mqttdb":1,"store":"00ff","seq":4,"topic":"t","qos":1,"payload":"AA=="}
`

// An export that fails half-way does not look as if it were whole.
func TestExportThatIsCutOff(t *testing.T) {
	base := start(t, &fakeRuntime{})
	res, err := http.Get(base + "/api/connections/cloud/export?queue=incoming")
	if err != nil {
		return // it is noticed even earlier
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("read %s", text)
	}
}

// What is imported is what was sent, in order.
func TestImportMeansWhatWasSaid(t *testing.T) {
	rt := &fakeRuntime{}
	base := start(t, rt)
	call(t, "POST", base+"/api/connections/cloud/import?queue=incoming&again=true", archived, nil)
	if rt.asked != "incoming true" || len(rt.imported) != 2 || rt.imported[0].Seq != 1 || rt.imported[1].Seq != 4 || rt.imported[1].Store != "00ff" {
		t.Errorf("%s: %+v", rt.asked, rt.imported)
	}
}

func TestRoutes(t *testing.T) {
	api := described(t)
	disk := &types.StoreError{Op: "write to", Queue: "cloud/outgoing", Err: errors.New("no space left"), Hint: "free space"}
	for _, c := range []struct {
		name, method, path, body string
		err                      error
		code                     int
		answer                   string // is part of it
	}{
		{"health", "GET", "/healthz", "", nil, 200, `"ok"`},
		{"all", "GET", "/api/connections", "", nil, 200, `[{"name":"cloud"`},
		{"one", "GET", "/api/connections/cloud", "", nil, 200, `"pending":7`},
		{"none", "GET", "/api/connections/moon", "", nil, 404, `no such connection`},
		{"clear", "POST", "/api/connections/cloud/clear", "", nil, 200, `{"cleared":7}`},
		{"clear some", "POST", "/api/connections/cloud/clear?queue=outgoing&topic=a/%23&older_than=24h", "", nil, 200, `{"cleared":7}`},
		{"clear a long topic", "POST", "/api/connections/cloud/clear?topic=" + strings.Repeat("%2f", 65535), "", nil, 200, `{"cleared":7}`},
		{"clear what", "POST", "/api/connections/cloud/clear?queue=incomming", "", nil, 400, `no such queue`},
		{"messages", "GET", "/api/connections/cloud/messages", "", nil, 200, `[]`},
		{"dead letters", "GET", "/api/connections/cloud/messages?queue=dead&after=3&limit=2", "", nil, 200,
			`[{"seq":5,"topic":"t","qos":1,"retain":false,"payload":"AP8=","accepted":"1970-01-01T00:00:01Z","cause":"why"}]`},
		{"messages after what", "GET", "/api/connections/cloud/messages?after=x", "", nil, 400, `after is the number`},
		{"no messages", "GET", "/api/connections/cloud/messages?limit=0", "", nil, 400, `1 to 1000`},
		{"messages of whom", "GET", "/api/connections/cluod/messages", "", nil, 404, `no such connection`},
		{"export", "GET", "/api/connections/cloud/export?queue=dead&topic=t&after=3&since=1h", "", nil, 200,
			`{"mqttdb":1,"store":"00ff","seq":5,"connection":"cloud","queue":"dead","topic":"t","qos":1,"payload":"AP8=","accepted":"1970-01-01T00:00:01Z"}`},
		{"export of whom", "GET", "/api/connections/moon/export", "", nil, 404, `no such connection`},
		{"export what", "GET", "/api/connections/cloud/export?topic=a%23", "", nil, 400, `invalid topic`},
		{"export since when", "GET", "/api/connections/cloud/export?since=24", "", nil, 400, `since`},
		{"export after what", "GET", "/api/connections/cloud/export?after=-1", "", nil, 400, `after`},
		{"import", "POST", "/api/connections/cloud/import", archived, nil, 200, `{"imported":1,"known":1,"refused":2,"why":"line 2: `},
		{"import nothing", "POST", "/api/connections/cloud/import?queue=incoming&again=true", "", nil, 200, `{"imported":0,"known":0,"refused":0}`},
		{"import for whom", "POST", "/api/connections/moon/import", archived, nil, 404, `no such connection`},
		{"import what", "POST", "/api/connections/cloud/import?queue=dead", archived, nil, 400, `no such queue`},
		{"import again", "POST", "/api/connections/cloud/import?again=x", archived, nil, 400, `again is true or false`},
		{"import on a full disk", "POST", "/api/connections/cloud/import", archived, disk, 503, `"hint":"free space"`},
		{"requeue", "POST", "/api/connections/cloud/messages/5/requeue?queue=dead", "", nil, 200, `{"seq":6}`},
		{"requeue what is none", "POST", "/api/connections/cloud/messages/8/requeue", "", nil, 404, `no such message`},
		{"requeue what is pending", "POST", "/api/connections/cloud/messages/5/requeue?queue=outgoing", "", nil, 400, `queue is dead`},
		{"requeue what", "POST", "/api/connections/cloud/messages/five/requeue", "", nil, 400, `by its number`},
		{"remove", "DELETE", "/api/connections/cloud/messages/5?queue=dead", "", nil, 200, `{"removed":5}`},
		{"remove what is in flight", "DELETE", "/api/connections/cloud/messages/7?queue=outgoing", "", nil, 409, `in flight`},
		{"consumers", "GET", "/api/connections/cloud/consumers", "", nil, 200,
			`[{"name":"alarms","kind":"named","filters":["a/#"],"joined":false,"left":null,"open":2,"behind":3}]`},
		{"consumers of whom", "GET", "/api/connections/cluod/consumers", "", nil, 404, `no such connection`},
		{"remove a consumer", "DELETE", "/api/connections/cloud/consumers/alarms%201", "", nil, 200, `{"removed":"alarms 1"}`},
		{"remove a consumer that is none", "DELETE", "/api/connections/cloud/consumers/b", "", nil, 404, `no named subscription`},
		{"remove a consumer of whom", "DELETE", "/api/connections/moon/consumers/b", "", nil, 404, `no such connection`},
		{"clear bad filter", "POST", "/api/connections/cloud/clear?topic=a%23", "", nil, 400, `invalid topic`},
		{"clear bad age", "POST", "/api/connections/cloud/clear?older_than=24", "", nil, 400, `older_than`},
		{"clear by GET", "GET", "/api/connections/cloud/clear", "", nil, 404, `no such page`},
		{"publish", "POST", "/api/connections/cloud/publish?topic=a/b&qos=1&retain=true", "hello", nil, 201, `{"seq":42}`},
		{"publish to a wildcard", "POST", "/api/connections/cloud/publish?topic=a/%23", "x", nil, 400, `invalid topic`},
		{"publish nowhere", "POST", "/api/connections/moon/publish?topic=a", "x", nil, 404, `no such connection`},
		{"publish QoS 3", "POST", "/api/connections/cloud/publish?topic=a&qos=3", "x", nil, 400, `qos is 0, 1 or 2`},
		{"publish too much", "POST", "/api/connections/cloud/publish?topic=a", strings.Repeat("x", 101), nil, 413, `too large`},
		{"disk full", "POST", "/api/connections/cloud/publish?topic=a", "x", disk, 503, `"hint":"free space"`},
		{"pause", "POST", "/api/connections/cloud/pause", "", nil, 200, `paused`},
		{"resume", "POST", "/api/connections/cloud/resume", "", nil, 200, `resumed`},
		{"drain", "POST", "/api/connections/cloud/drain?timeout=1ms", "", nil, 200, `{"pending":7}`},
		{"drain how long", "POST", "/api/connections/cloud/drain?timeout=30", "", nil, 400, `a duration like 30s`},
		{"drain nothing", "POST", "/api/connections/moon/drain", "", nil, 404, `no such connection`},
		{"compact", "POST", "/api/connections/cloud/compact", "", nil, 200, `{"reclaimed_bytes":5,"rewritten_bytes":3,"disk_bytes":8}`},
		{"compact for long", "POST", "/api/connections/cloud/compact?queue=incoming&timeout=1ms", "", nil, 504, `it goes on by itself`},
		{"compact how long", "POST", "/api/connections/cloud/compact?timeout=30", "", nil, 400, `a duration like 30s`},
		{"compact nothing", "POST", "/api/connections/moon/compact", "", nil, 404, `no such connection`},
		{"compact on a full disk", "POST", "/api/connections/cloud/compact", "", disk, 503, `"hint":"free space"`},
		{"replay", "POST", "/api/connections/cloud/replay?since=20m", "", nil, 200, `{"replayed":5,"left_out":2}`},
		{"replay for long", "POST", "/api/connections/cloud/replay?from=17&timeout=1ms", "", nil, 504, `it goes on by itself`},
		{"replay since when", "POST", "/api/connections/cloud/replay?since=20", "", nil, 400, `a duration like 20m`},
		{"replay of nothing", "POST", "/api/connections/cloud/replay?since=0s", "", nil, 400, `within no time`},
		{"replay from where", "POST", "/api/connections/cloud/replay?from=x", "", nil, 400, `from \"x\" is not a number`},
		{"replay of what topic", "POST", "/api/connections/cloud/replay?topic=a%23", "", nil, 400, `invalid topic`},
		{"replay again or not", "POST", "/api/connections/cloud/replay?again=perhaps", "", nil, 400, `again: `},
		{"replay by whom", "POST", "/api/connections/moon/replay", "", nil, 404, `no such connection`},
		{"replay what is not kept", "POST", "/api/connections/cloud/replay", "", types.ErrNotKept, 409, `set keep_sent`},
		{"forward", "POST", "/api/publish?topic=a/b", "hello", nil, 201, `{"seq":{"cloud":3}}`},
		{"forward and wait", "POST", "/api/publish?topic=a/b&wait=delivered&timeout=1ms", "hello", nil, 504, `stored, and not delivered within 1ms`},
		{"forward and wait for what", "POST", "/api/publish?topic=a/b&wait=long", "hello", nil, 400, `wait is stored or delivered`},
		{"forward what left otherwise", "POST", "/api/publish?topic=a/b", "hello", types.ErrNotDelivered, 409, `not delivered`},
		{"reload", "POST", "/api/reload", "", nil, 200, `"added":["new"]`},
		{"reload what is wrong", "POST", "/api/reload", "", errors.New("mqttdb.yaml:3:1: x: unknown key"), 422, `mqttdb.yaml:3:1: x: unknown key`},
		{"reload what takes a restart", "POST", "/api/reload", "", fmt.Errorf("data_dir: %w", types.ErrNeedsRestart), 409, `data_dir: cannot be changed`},
		{"no reload yet", "GET", "/api/reload", "", nil, 200, `null`},
		{"nothing there", "GET", "/x", "", nil, 404, `no such page`},
		{"path tricks", "GET", "/api/connections/..%2f..%2fetc", "", nil, 404, `no such connection`},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := start(t, &fakeRuntime{err: c.err})
			code, answer := call(t, c.method, base+c.path, c.body, nil)
			if code != c.code || !strings.Contains(answer, c.answer) {
				t.Errorf("%d %s, want %d with %s", code, answer, c.code, c.answer)
			}
			if !strings.Contains(answer, "no such page") {
				api.check(t, c.method, base+c.path, code, answer)
			}
		})
	}
}

func TestPublishAndClearMeanWhatWasSaid(t *testing.T) {
	rt := &fakeRuntime{}
	base := start(t, rt)
	call(t, "POST", base+"/api/connections/cloud/publish?topic=a/b&qos=0&retain=true", "hello", nil)
	if m := rt.published; m.Topic != "a/b" || string(m.Payload) != "hello" || m.QoS != 0 || !m.Retain {
		t.Errorf("published %+v", m)
	}
	call(t, "POST", base+"/api/connections/cloud/clear?topic=a/%23&older_than=1h", "", nil)
	age := time.Since(rt.selected.Before)
	if rt.selected.Filter != "a/#" || age < time.Hour || age > time.Hour+time.Minute {
		t.Errorf("cleared %+v", rt.selected)
	}
	call(t, "POST", base+"/api/connections/cloud/replay?since=20m&from=5&topic=a/%23&again=true&retain=1&dry_run=true&timeout=1m", "", nil)
	if want := (types.Replay{Since: 20 * time.Minute, From: 5, Filter: "a/#", Again: true, Retain: true, DryRun: true}); rt.replay != want {
		t.Errorf("replayed %+v, want %+v", rt.replay, want)
	}
}

// What could not be read is not called empty.
func TestDrainOfWhatIsNotKnown(t *testing.T) {
	base := start(t, &fakeRuntime{unread: "disk full"})
	code, answer := call(t, "POST", base+"/api/connections/cloud/drain?timeout=1ms", "", nil)
	if code != 503 || !strings.Contains(answer, "nobody knows what is pending on cloud: disk full") {
		t.Errorf("%d %s", code, answer)
	}
}

func TestPortInUse(t *testing.T) {
	base := start(t, &fakeRuntime{})
	addr := strings.TrimPrefix(base, "http://")
	_, err := httpapi.Listen(t.Context(), &fakeRuntime{}, httpapi.Options{Addr: addr, Logger: slog.New(slog.DiscardHandler)})
	want := fmt.Sprintf("http.listen: listen tcp %s: bind: address already in use (another program has this port: stop it, or set http.listen to another port)", addr)
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

package browser

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The page stays of use with many connections and a large backlog.
func TestMany(t *testing.T) {
	const connections, messages = 200, 1_000_000
	look := prepare(t)
	var text strings.Builder
	for i := range connections {
		fmt.Fprintf(&text, "  line%03d: {broker: \"mqtt://127.0.0.1:1\", client_id: c%d}\n", i, i)
	}
	g := start(t, build(t), text.String(), "")
	began := time.Now()
	load(t, g, "line000", messages)
	t.Logf("%d messages stored in %v", messages, time.Since(began).Round(time.Millisecond))
	look(2*time.Minute, "many.mjs", "GATEWAY="+g.url, "CONNECTIONS="+strconv.Itoa(connections), "MESSAGES="+strconv.Itoa(messages))
}

// load imports so many messages for a connection.
func load(t *testing.T, g *gateway, connection string, messages int) {
	t.Helper()
	body, lines := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(lines, 1<<16)
		for i := range messages {
			fmt.Fprintf(w, `{"mqttdb":1,"store":"00ff","seq":%d,"topic":"hall/%d/temperature","qos":1,"payload":"eyJjZWxzaXVzIjoyMS41fQ=="}`+"\n", i+1, i%100)
		}
		lines.CloseWithError(w.Flush())
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/api/connections/"+connection+"/import", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Mqttdb", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(said), fmt.Sprintf(`"imported":%d,`, messages)) {
		t.Fatalf("import: %s %s", res.Status, said)
	}
}

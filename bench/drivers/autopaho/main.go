// Command autopaho drives autopaho of paho.golang with its file queue and a
// session that is kept in files: a message is stored when PublishViaQueue returns,
// its file being written, and not synced.
package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"

	"github.com/eclipse/paho.golang/autopaho"
	queuefile "github.com/eclipse/paho.golang/autopaho/queue/file"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"
	storefile "github.com/eclipse/paho.golang/paho/store/file"
)

func main() { protocol.Main(open) }

type queue struct {
	manager *autopaho.ConnectionManager
	folders []string
}

func open(ctx context.Context, s protocol.Settings) (protocol.Queue, error) {
	broker, err := url.Parse(strings.Replace(s.Broker, "tcp://", "mqtt://", 1))
	if err != nil {
		return nil, err
	}
	q := &queue{folders: []string{filepath.Join(s.Dir, "queue"), filepath.Join(s.Dir, "session")}}
	messages, err := queuefile.New(q.folders[0], "q-", ".msg")
	if err != nil {
		return nil, err
	}
	ours, err := storefile.New(q.folders[1], "ours-", ".msg")
	if err != nil {
		return nil, err
	}
	theirs, err := storefile.New(q.folders[1], "theirs-", ".msg")
	if err != nil {
		return nil, err
	}
	q.manager, err = autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{broker}, KeepAlive: 30, SessionExpiryInterval: 3600,
		ReconnectBackoff: func(int) time.Duration { return time.Second },
		Queue:            messages,
		ClientConfig:     paho.ClientConfig{ClientID: s.ClientID, Session: state.New(ours, theirs)},
	})
	return q, err
}

func (q *queue) Enqueue(ctx context.Context, topic string, payload []byte) (func() error, error) {
	return nil, q.manager.PublishViaQueue(ctx, &autopaho.QueuePublish{Publish: &paho.Publish{QoS: 1, Topic: topic, Payload: payload}})
}

// Pending counts the files: the library does not tell.
func (q *queue) Pending() int {
	n := 0
	for _, folder := range q.folders {
		files, err := os.ReadDir(folder)
		if err != nil {
			return -1
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".msg") {
				n++
			}
		}
	}
	return n
}

func (q *queue) Close(ctx context.Context) error { return q.manager.Disconnect(ctx) }

package listener

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// What has expired takes no room from what is to be retained, also what expired
// while nothing ran, and what is not needed for it is done.
func TestExpiredRetainedMessagesGiveWay(t *testing.T) {
	var all topics
	now := time.Now()
	for i := range maxRetained {
		m := types.Message{Topic: fmt.Sprint("t/", i), Payload: []byte("x")}
		if i%2 == 0 {
			m.Expiry = time.Minute
		}
		if done := all.retain(types.Seq(i+1), &m, now.Add(-2*time.Minute)); len(done) > 0 {
			t.Fatalf("%v are done", done)
		}
	}
	m := types.Message{Topic: "new", Payload: []byte("x"), Expiry: time.Minute}
	if !all.hasRoom(&m) {
		t.Fatal("no room")
	}
	done := all.retain(maxRetained+1, &m, now)
	if len(done) != maxRetained/2 || done[0]%2 != 1 {
		t.Errorf("%d are done", len(done))
	}
	if n := all.kept(); n != maxRetained/2+1 {
		t.Errorf("%d are kept", n)
	}
	for i := range maxRetained/2 - 1 {
		m := types.Message{Topic: fmt.Sprint("more/", i), Payload: []byte("x")}
		if !all.hasRoom(&m) || len(all.retain(types.Seq(maxRetained+2+i), &m, now)) > 0 {
			t.Fatalf("message %d is not kept", i)
		}
	}
	if m.Topic = "newer"; all.hasRoom(&m) {
		t.Error("room for more than there may be")
	}
}

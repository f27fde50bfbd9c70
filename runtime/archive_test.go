package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// exported reads what a connection has.
func exported(t *testing.T, rt *runtime.Runtime, name string, e types.Extract) (list []types.Stored) {
	t.Helper()
	err := rt.Export(t.Context(), name, e, func(s *types.Stored) error {
		list = append(list, *s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func texts(list []types.Stored) string {
	var all []string
	for _, s := range list {
		all = append(all, string(s.Message.Payload))
	}
	return strings.Join(all, " ")
}

// What one gateway has exported another one imports, in order, once, and sends it.
func TestExportAndImport(t *testing.T) {
	from, to := newHouse(), newHouse()
	a := from.open(t, config.Connection{Name: "cloud"})
	if err := a.Connection("cloud").Pause(); err != nil {
		t.Fatal(err)
	}
	const n = 2500 // several pages
	var messages []types.Message
	for i := range n {
		messages = append(messages, message([]string{"a", "b"}[i%2], fmt.Sprint(i)))
	}
	messages[3].Expiry, messages[3].Properties = time.Hour, []byte{1, 0}
	if _, err := a.Connection("cloud").PublishBatch(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	list := exported(t, a, "cloud", types.Extract{})
	if len(list) != n || list[3].Message.Expiry != time.Hour || len(list[3].Message.Properties) != 2 || len(list[0].Store) != 32 || time.Since(list[0].Accepted) > time.Minute {
		t.Fatalf("%d messages, %+v", len(list), list[3])
	}
	for _, c := range []struct {
		name string
		e    types.Extract
		want int
	}{
		{"a topic", types.Extract{Filter: "b"}, n / 2},
		{"behind", types.Extract{After: n - 3}, 3},
		{"since", types.Extract{Since: time.Now().Add(time.Hour)}, 0},
		{"dead letters", types.Extract{Queue: types.DeadLetters}, 0},
	} {
		if got := exported(t, a, "cloud", c.e); len(got) != c.want {
			t.Errorf("%s: %d messages, want %d", c.name, len(got), c.want)
		}
	}

	b := to.open(t, config.Connection{Name: "cloud"})
	if err := b.Connection("cloud").Pause(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		part []types.Stored
		want int
	}{{list[:1000], 1000}, {list, n - 1000}, {list, 0}} {
		if got, err := b.Import(t.Context(), "cloud", types.Outgoing, c.part, false); err != nil || got != c.want {
			t.Errorf("imported %d, %v, want %d", got, err, c.want)
		}
	}
	here := exported(t, b, "cloud", types.Extract{})
	if texts(here) != texts(list) || !here[5].Accepted.Equal(list[5].Accepted) || here[3].Message.Expiry != time.Hour {
		t.Errorf("%d messages are here, want %d as they were", len(here), n)
	}
	if err := b.Connection("cloud").Resume(); err != nil {
		t.Fatal(err)
	}
	if err := b.Connection("cloud").Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Import(t.Context(), "cloud", "", list, false); err != nil || got != 0 {
		t.Errorf("imported %d of what was sent, %v", got, err)
	}
}

func TestExportAndImportOfWhatIsNotThere(t *testing.T) {
	rt := newHouse().open(t, config.Connection{Name: "cloud"})
	none := func(*types.Stored) error { t.Error("there is a message"); return nil }
	for _, c := range []struct {
		name string
		do   func() error
		want error
	}{
		{"export whose", func() error { return rt.Export(t.Context(), "moon", types.Extract{}, none) }, types.ErrUnknownConnection},
		{"export what", func() error { return rt.Export(t.Context(), "cloud", types.Extract{Queue: "x"}, none) }, types.ErrUnknownQueue},
		{"export a bad topic", func() error { return rt.Export(t.Context(), "cloud", types.Extract{Filter: "a#"}, none) }, types.ErrInvalidTopic},
		{"import for whom", func() error { _, err := rt.Import(t.Context(), "moon", "", nil, false); return err }, types.ErrUnknownConnection},
		{"import dead letters", func() error { _, err := rt.Import(t.Context(), "cloud", types.DeadLetters, nil, false); return err }, types.ErrUnknownQueue},
		{"import what is retained", func() error { _, err := rt.Import(t.Context(), "cloud", types.Retained, nil, false); return err }, types.ErrUnknownQueue},
		{"import for local clients", func() error { _, err := rt.Import(t.Context(), runtime.LocalName, "", nil, false); return err }, types.ErrUnknownQueue},
		{"messages of whom", func() error { _, err := rt.Messages(t.Context(), "moon", "", 0, 1); return err }, types.ErrUnknownConnection},
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	stop := errors.New("enough")
	if _, err := rt.Connection("cloud").Publish(t.Context(), message("a", "1")); err != nil {
		t.Fatal(err)
	}
	if err := rt.Connection("cloud").Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := rt.Connection("cloud").Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Connection("cloud").Publish(t.Context(), message("a", "2")); err != nil {
		t.Fatal(err)
	}
	if err := rt.Export(t.Context(), "cloud", types.Extract{}, func(*types.Stored) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

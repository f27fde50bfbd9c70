package runtime_test

import (
	"context"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
)

var _ = broker.MQTT311

// open opens a runtime on memory stores.
func open(t *testing.T, store *memory.Store, dialer broker.Dialer, connections ...config.Connection) *runtime.Runtime {
	t.Helper()
	cfg := config.Config{Connections: connections}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.Open(t.Context(), runtime.Options{
		Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}),
		Dialer: func(config.Connection) (broker.Dialer, error) { return dialer, nil },
		Login:  func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return rt
}

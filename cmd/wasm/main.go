//go:build js

// Command wasm is the runtime in a Worker of the browser: what mqttdb.js loads. Its one
// argument names the property of the global mqttdbHosts that stands for the Worker, see
// wasm/bridge.
package main

import (
	"context"
	"log/slog"
	"os"
	"syscall/js"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/wasm/bridge"
)

func main() {
	bridge.Serve(js.Global().Get("mqttdbHosts").Get(os.Args[1]), open)
}

// open opens the runtime that a page asks for.
func open(ctx context.Context, s bridge.Settings, login bridge.Login) (*runtime.Runtime, error) {
	conn, err := s.Connection()
	if err != nil {
		return nil, err
	}
	if s.Login {
		conn.Credentials = login
	}
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		Connections:    []mqttdb.ConnectionConfig{conn},
		MaxMessageSize: s.MaxMessageSize,
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), // the console of the Worker
	})
	if err != nil {
		return nil, err
	}
	return db.Runtime, nil
}

//go:build js

package mqttdb

import (
	"errors"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
)

// Hooks are empty in the browser.
type Hooks struct{}

// options would choose the technologies of a browser; they are not built yet.
func options(Config, config.Config, *policies) (runtime.Options, error) {
	return runtime.Options{}, errors.New("mqttdb does not run in the browser yet: its store and its WebSocket are not built")
}

// Package prometheus is an inert stand-in for the build with wasm.mod only.
package prometheus

import (
	"errors"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

type Option interface{}
type Exporter struct{ sdkmetric.Reader }

func New(...Option) (*Exporter, error) { return nil, errors.New("prometheus: not available in wasm") }

// Package metric is an inert stand-in, for the build with wasm.mod only.
package metric

import apimetric "go.opentelemetry.io/otel/metric"

type Reader interface{}
type Option interface{}
type MeterProvider struct{ apimetric.MeterProvider }

func WithReader(Reader) Option                  { return nil }
func NewMeterProvider(...Option) *MeterProvider { return nil }

// Package otel is an inert stand-in for the build with wasm.mod only.
package otel

import (
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

func Meter(string, ...metric.MeterOption) metric.Meter { return noop.Meter{} }
func SetMeterProvider(metric.MeterProvider)            {}

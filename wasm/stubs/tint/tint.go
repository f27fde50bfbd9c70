// Package tint is an inert stand-in, for the build with wasm.mod only.
package tint

import (
	"io"
	"log/slog"
)

type Options struct {
	Level      slog.Leveler
	TimeFormat string
}

func NewHandler(w io.Writer, o *Options) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: o.Level})
}

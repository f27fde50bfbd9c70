// Package promhttp is an inert stand-in, for the build with wasm.mod only.
package promhttp

import "net/http"

func Handler() http.Handler { return http.NotFoundHandler() }

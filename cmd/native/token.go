//go:build !js

package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
)

// readToken reads the token of the HTTP API, "" if none is configured. Errors do not
// repeat it.
func readToken(h *config.HTTP) (string, error) {
	if h.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(h.TokenFile)
	if err != nil {
		return "", fmt.Errorf("http.token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if err := httpapi.CheckToken(token); err != nil {
		return "", fmt.Errorf("http.token_file: %s: %w", h.TokenFile, err)
	}
	return token, nil
}

// warnOfToken says in the log that everybody on this machine can read the token.
func warnOfToken(h *config.HTTP, log *slog.Logger) {
	if h.TokenFile == "" {
		return
	}
	if info, err := os.Stat(h.TokenFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everybody on this machine can read the token of the HTTP API: chmod 640", "http.token_file", h.TokenFile)
	}
}

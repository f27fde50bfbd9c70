#!/bin/sh
# Builds bin/mqttdb: static, without paths of this machine, with the version of git describe.
. "$(dirname "$0")/env.sh"

version=$(git describe --tags --always --dirty 2>/dev/null || echo devel)
CGO_ENABLED=0 go build -tags "$TAGS" -trimpath -ldflags "-X main.version=$version" -o bin/mqttdb ./cmd/native

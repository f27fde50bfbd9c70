#!/bin/sh
# The long form of a test whose short form is in make test: Chromium is killed ROUNDS
# times while a page publishes.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
ROUNDS=${ROUNDS:-30} go test -count=1 -timeout 0 -v -run TestKilled ./internal/inbrowser

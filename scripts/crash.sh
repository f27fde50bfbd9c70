#!/bin/sh
# The long form of the crash test, which make test runs with 20 kills: the real
# binary is killed KILLS times at random moments of publishing, draining and compacting.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
KILLS=${KILLS:-20} go test -count=1 -timeout 0 -v ./internal/crash

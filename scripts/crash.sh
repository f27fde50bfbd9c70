#!/bin/sh
# The long form of the crash tests, whose short form is in make test: the real binary
# is killed KILLS times at random moments of publishing, draining and compacting, and
# each cell of the matrix has MESSAGES messages and FAULTS faults.
. "$(dirname "$0")/env.sh"

scripts/setup.sh
KILLS=${KILLS:-20} MESSAGES=${MESSAGES:-20000} FAULTS=${FAULTS:-50} go test -count=1 -timeout 0 -v ./internal/crash

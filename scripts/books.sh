#!/bin/sh
# The long form of the test of the books, whose short form is in make test: HISTORIES
# random histories from number SEED on, in memory and on disk.
. "$(dirname "$0")/env.sh"

HISTORIES=${HISTORIES:-1000} go test -count=1 -timeout 0 -v -run '^TestBooks$' ./internal/books

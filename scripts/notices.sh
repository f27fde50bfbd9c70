#!/bin/sh
# Writes THIRD_PARTY_NOTICES from the modules that are linked. Only after a look at what is new.
. "$(dirname "$0")/env.sh"

go run ./internal/notices

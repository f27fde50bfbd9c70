#!/bin/sh
# Writes docs/screenshots from the test of the page.
. "$(dirname "$0")/env.sh"

mkdir -p docs/screenshots
SCREENSHOTS=$PWD/docs/screenshots go test -count=1 ./internal/browser

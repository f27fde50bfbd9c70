#!/bin/sh
# Installs what internal/browser drives Chromium with into .cache/browser; does nothing
# where it is there.
set -eu
cd "$(dirname "$0")/.."

from=internal/browser/page to=.cache/browser
mkdir -p .cache
exec 9>.cache/browser.lock # two tests may want it at the same time
! command -v flock >/dev/null || flock 9
cmp -s $from/package-lock.json $to/installed.json && exit 0
mkdir -p $to
rm -f $to/installed.json
cp $from/package.json $from/package-lock.json $to
cd $to
npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 || { cat npm.log >&2 && exit 1; }
cp package-lock.json installed.json

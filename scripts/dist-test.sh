#!/bin/sh
# What is released, tested: the archives and packages are made and come out the same
# elsewhere; the Debian package is installed, upgraded, downgraded, removed and purged;
# the armv7 program passes the conformance suite of the store and KILLS (5) kill -9 under
# qemu. Needs Debian and its root; takes some ten minutes.
. "$(dirname "$0")/env.sh"

scripts/setup.sh qemu
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
trap 'exit 1' HUP INT TERM

echo "== the same bytes again, elsewhere and without a cache"
scripts/dist.sh >/dev/null
cp dist/*_linux_amd64.tar.gz dist/*_amd64.deb "$kept"
git clone -q . "$kept/elsewhere"
mkdir -p "$kept/elsewhere/.cache/tools"
cp .cache/tools/nfpm "$kept/elsewhere/.cache/tools"
(cd "$kept/elsewhere" && git checkout -q "$(git -C "$OLDPWD" rev-parse HEAD)" && GOCACHE=$kept/cache DIST_ONLY=linux_amd64 scripts/dist.sh >/dev/null)
if git diff --quiet HEAD; then
	for file in "$kept"/*_linux_amd64.tar.gz "$kept"/*_amd64.deb; do
		cmp "$file" "$kept/elsewhere/dist/$(basename "$file")"
	done
	echo "they are"
else
	echo "not compared: there are changes that are not committed"
fi
mkdir "$kept/released"
mv dist/* "$kept/released"

echo "== the Debian package"
for version in 0.1.0 0.2.0; do
	DIST_VERSION=$version DIST_ONLY=linux_amd64 scripts/dist.sh >/dev/null
	mv dist/*.deb "$kept/$version.deb"
done
rm -rf dist
mv "$kept/released" dist
scripts/package-test.sh "$kept/0.1.0.deb" "$kept/0.2.0.deb"

echo "== armv7 under qemu: the conformance suite of the store"
export GOARCH=arm GOARM=7 CGO_ENABLED=0
go test -c -o "$kept/store.test" ./persistence/nutsdb
go build -trimpath -o "$kept/mqttdb" ./cmd/native
unset GOARCH GOARM CGO_ENABLED
(cd persistence/nutsdb && GOMEMLIMIT=1GiB qemu-arm-static "$kept/store.test" -test.run '^TestSuite$' -test.timeout 10m)

echo "== armv7 under qemu: ${KILLS:-5} kills"
cat >"$kept/gateway" <<END
#!/bin/sh
exec qemu-arm-static "$kept/mqttdb" "\$@"
END
chmod 755 "$kept" "$kept/gateway" "$kept/mqttdb"
GATEWAY=$kept/gateway KILLS=${KILLS:-5} go test -count=1 -timeout 10m -v -run '^TestKills$' ./internal/crash

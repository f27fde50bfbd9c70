// Package browser looks at the status page in a real Chromium, with a real gateway
// behind it. It is driven by playwright-core from npm, which scripts/browser.sh
// installs: it can stand in for parts of a server, and axe-core runs in it.
package browser

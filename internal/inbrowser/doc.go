// Package inbrowser tests the runtime in a real Chromium, as pages use it: with real
// brokers behind it, tabs that are closed and that crash, and a browser that is killed.
// Chromium is driven by playwright-core from npm, which scripts/browser.sh installs; what
// the pages do stands in page/.
package inbrowser

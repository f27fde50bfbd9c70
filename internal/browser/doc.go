// Package browser looks at the status page in a real Chromium, with a real gateway
// behind it. It is driven by playwright-core from npm, which scripts/browser.sh
// installs with axe-core, which looks for what keeps people from using a page.
package browser

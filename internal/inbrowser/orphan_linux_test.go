package inbrowser

import "syscall"

// orphanless ends a process with a test that is killed: page/harness.mjs then ends the
// browser, too.
func orphanless() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

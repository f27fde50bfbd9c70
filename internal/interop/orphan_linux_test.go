package interop

import "syscall"

// orphanless makes a gateway die with a test that is killed.
func orphanless() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package tinyproxy

import "syscall"

// orphanless makes tinyproxy die with a test that is killed.
func orphanless() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

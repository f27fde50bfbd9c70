package mosquitto

import "syscall"

// orphanless makes mosquitto die with a test that is killed.
func orphanless() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

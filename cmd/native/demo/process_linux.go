package demo

import "syscall"

// processAttributes keep ctrl-C, which is for the demo, from the gateway, and
// end it with the demo, however that ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

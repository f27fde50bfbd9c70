package child

import "syscall"

// attributes keep ctrl-C, which is for the process that watches, from the gateway,
// and end it with that process, however that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

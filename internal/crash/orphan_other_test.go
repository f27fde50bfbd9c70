//go:build unix && !linux

package crash

import "syscall"

func orphanless() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

//go:build unix && !linux

package interop

import "syscall"

func orphanless() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

//go:build unix && !linux

package mosquitto

import "syscall"

func orphanless() *syscall.SysProcAttr { return nil }

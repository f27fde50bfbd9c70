//go:build unix && !linux

package tinyproxy

import "syscall"

func orphanless() *syscall.SysProcAttr { return nil }

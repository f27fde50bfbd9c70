//go:build unix && !linux

package inbrowser

import "syscall"

func orphanless() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

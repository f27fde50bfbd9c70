//go:build !linux && !js

package demo

import "syscall"

// processAttributes are those of any process: a gateway may outlive a demo that
// is killed.
func processAttributes() *syscall.SysProcAttr { return nil }

//go:build !linux && !js

package child

import "syscall"

// attributes are those of any process: a gateway may outlive one that watches it
// and is killed.
func attributes() *syscall.SysProcAttr { return nil }

//go:build !js

// Command mqttdb is the gateway: a local MQTT broker that stores what it is
// given and forwards it to the brokers of its configuration, and the tools that
// go with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set when it is built.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run runs a command line and returns the exit status: 0 done, 1 failed, 2
// wrong usage.
func run(ctx context.Context, args []string) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "mqttdb: %v\n", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

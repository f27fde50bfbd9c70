//go:build !js

// Command mqttdb is the gateway: a local MQTT broker that stores what it is
// given and forwards it to the brokers of its configuration, and the tools that
// go with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set when it is built.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(runTo(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// runTo runs a command line and returns the exit status: 0 done, 1 failed, 2
// wrong usage.
func runTo(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(errs, "mqttdb: %v\n", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

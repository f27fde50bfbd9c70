//go:build unix

package interop

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// versions of MQTT, as mosquitto's clients call them.
var versions = []string{"mqttv31", "mqttv311", "mqttv5"}

// mosquittoClient is mosquitto_pub or mosquitto_sub.
func mosquittoClient(t testing.TB, g *gateway, name string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(name, append([]string{"-h", "127.0.0.1", "-p", port(g.addr)}, args...)...)
	cmd.SysProcAttr = orphanless()
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// mosquittoSub starts a subscriber that ends after n messages, and waits until it
// has subscribed: it has got a retained message by then.
func mosquittoSub(t testing.TB, g *gateway, n int, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	run(t, g, "mosquitto_pub", "-t", "ready", "-m", "!", "-q", "1", "-r")
	cmd, out := mosquittoClient(t, g, "mosquitto_sub", append([]string{"-t", "ready", "-C", fmt.Sprint(n + 1), "-W", "60", "-F", "%t %r %q %p"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	out.await(t, "ready 1 ", 1)
	return cmd, out
}

// run runs one of mosquitto's clients to its end.
func run(t testing.TB, g *gateway, name string, args ...string) {
	t.Helper()
	cmd, out := mosquittoClient(t, g, name, args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s\nthe gateway:\n%s", err, out, g.log)
	}
}

// lines is what a subscriber got, in order, without the message that said that
// it is ready.
func lines(o *output) []string {
	all := strings.Split(strings.TrimSpace(o.String()), "\n")
	return all[1:]
}

// Many messages arrive in order, at each QoS and with each version on either
// side; those that are routed are in the gateway's queue.
func TestMosquitto(t *testing.T) {
	const n = 300
	g := startGateway(t)
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintln(&text, i)
	}
	stored := uint64(0)
	for _, from := range versions {
		for _, to := range versions {
			for qos := range 3 {
				t.Run(fmt.Sprintf("%s to %s/QoS %d", from, to, qos), func(t *testing.T) {
					q := fmt.Sprint(qos)
					sub, got := mosquittoSub(t, g, n, "-V", to, "-t", "stored/#", "-q", "2")
					pub, said := mosquittoClient(t, g, "mosquitto_pub", "-V", from, "-t", "stored/x", "-q", q, "-l")
					pub.Stdin = bytes.NewReader(text.Bytes())
					if err := pub.Run(); err != nil {
						t.Fatalf("%v: %s", err, said)
					}
					if err := sub.Wait(); err != nil {
						t.Fatalf("%v: %s\nthe gateway:\n%s", err, got, g.log)
					}
					for i, line := range lines(got) {
						if want := fmt.Sprintf("stored/x 0 %d %d", qos, i); line != want {
							t.Fatalf("message %d is %q, want %q", i, line, want)
						}
					}
					stored += n
					if now := g.stored().Accepted; now != stored {
						t.Errorf("%d messages were stored, %d were sent", now, stored)
					}
				})
			}
		}
	}
}

// What is retained comes to later subscribers, flagged; a client that is killed
// leaves its will.
func TestMosquittoRetainedAndWill(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			g := startGateway(t)
			dying, _ := mosquittoSub(t, g, 100, "-V", version, "-i", "dying", "-t", "x",
				"--will-topic", "r/will", "--will-payload", "gone", "--will-qos", "2", "--will-retain")
			sub, got := mosquittoSub(t, g, 2, "-V", version, "-t", "r/#", "-q", "2")
			dying.Process.Kill()
			dying.Wait()
			run(t, g, "mosquitto_pub", "-V", version, "-t", "r/kept", "-m", "this", "-q", "1", "-r")
			if err := sub.Wait(); err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			late, kept := mosquittoSub(t, g, 2, "-V", version, "-t", "r/#", "-q", "2")
			if err := late.Wait(); err != nil {
				t.Fatalf("%v: %s", err, kept)
			}
			for output, flag := range map[*output]string{got: "0", kept: "1"} {
				for _, want := range []string{"r/will " + flag + " 2 gone", "r/kept " + flag + " 1 this"} {
					if !slices.Contains(lines(output), want) {
						t.Errorf("%q did not come:\n%s", want, output)
					}
				}
			}
		})
	}
}

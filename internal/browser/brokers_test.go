package browser

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
)

// Packets of MQTT 3.1.1 as a broker sends them.
var (
	connack  = []byte{0x20, 2, 0, 0}
	pingresp = []byte{0xd0, 0}
)

// silent listens as a broker that takes connections and says nothing at all.
func silent(t *testing.T) string {
	t.Helper()
	return serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// deaf listens as a broker that is there, and acknowledges no message.
func deaf(t *testing.T) string {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		for r := bufio.NewReader(conn); ; {
			kind, err := packet(r)
			if err != nil {
				return
			}
			switch kind {
			case 1: // CONNECT
				_, err = conn.Write(connack)
			case 12: // PINGREQ
				_, err = conn.Write(pingresp)
			}
			if err != nil {
				return
			}
		}
	})
}

// packet reads past a packet and returns its type.
func packet(r *bufio.Reader) (kind byte, err error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	length := 0
	for shift := 0; ; shift += 7 { // [MQTT-2.2.3]
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	_, err = r.Discard(length)
	return first >> 4, err
}

// serve listens until the test ends; each connection is given to handle.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handling sync.WaitGroup
	handling.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handling.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		handling.Wait() // the gateway has ended, and with it the connections
	})
	return l.Addr().String()
}

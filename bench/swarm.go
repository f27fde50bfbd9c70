//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
)

const clients = 64

// errSilent means that nothing was acknowledged any more.
var errSilent = errors.New("the acknowledgements stopped")

// swarm is many clients on one thread, which take as little as possible of the
// processor time that they share with the gateway.
type swarm struct {
	epoll   int
	members map[int]*member // by descriptor
	open    int             // members that are not done

	patience time.Duration // it ends when nothing came for so long; 0: never
}

// member is a client of a swarm.
type member struct {
	publisher
	fd   int
	part []byte // of a PUBACK, at the start of in
	in   [4096]byte
}

// publishAll lets n clients publish until more says that it is enough, and
// returns how many messages were acknowledged: all.
func publishAll(addr string, n, window int, more func() bool) (acked int, err error) {
	s := swarm{members: make(map[int]*member), open: n}
	if s.epoll, err = syscall.EpollCreate1(0); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for i := range n {
		if err := s.join(addr, publisher{number: i, topic: topic(i), window: window, more: more}); err != nil {
			return 0, err
		}
	}
	err = s.run()
	for _, m := range s.members {
		acked += m.acked
	}
	return acked, err
}

// join connects a client.
func (s *swarm) join(addr string, p publisher) error {
	c, err := connect(addr, fmt.Sprintf("bench-%d", p.number))
	if err != nil {
		return err
	}
	defer c.conn.Close()
	// A descriptor of our own, of which Go's poller knows nothing.
	file, err := c.conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		return err
	}
	s.members[fd] = &member{publisher: p, fd: fd}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	return syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
}

// run serves all until they are done.
func (s *swarm) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, m := range s.members {
		if err := s.send(m); err != nil {
			return err
		}
	}
	events := make([]syscall.EpollEvent, clients)
	timeout := -1
	if s.patience > 0 {
		timeout = int(s.patience.Milliseconds())
	}
	for s.open > 0 {
		n, err := syscall.EpollWait(s.epoll, events, timeout)
		if errors.Is(err, syscall.EINTR) {
			continue
		} else if err != nil {
			return err
		} else if n == 0 {
			return errSilent
		}
		for _, e := range events[:n] {
			if err := s.serve(s.members[int(e.Fd)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve takes what has arrived for m and sends what may go now.
func (s *swarm) serve(m *member) error {
	n, err := syscall.Read(m.fd, m.in[len(m.part):])
	switch {
	case err != nil:
		return err
	case n == 0:
		return errors.New("the gateway hung up")
	}
	b := m.in[:len(m.part)+n]
	for ; len(b) >= pubackSize; b = b[pubackSize:] {
		if err := m.take(b); err != nil {
			return err
		}
	}
	m.part = m.in[:copy(m.in[:], b)]
	return s.send(m)
}

func (s *swarm) send(m *member) error {
	m.buf = m.refill(m.buf[:0])
	if len(m.buf) > 0 { // a window is less than a socket takes
		if n, err := syscall.Write(m.fd, m.buf); err != nil || n < len(m.buf) {
			return fmt.Errorf("write %d of %d bytes: %w", n, len(m.buf), err)
		}
	}
	if m.done() {
		s.open--
	}
	return nil
}

func (s *swarm) close() error {
	err := syscall.Close(s.epoll)
	for fd := range s.members {
		err = errors.Join(err, syscall.Close(fd))
	}
	return err
}

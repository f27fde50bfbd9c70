package sidecar

// Waiting is how many bytes wait to be written to clients.
func (s *Server) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.clients {
		c.out.mu.Lock()
		n += c.out.bytes
		c.out.mu.Unlock()
	}
	return n
}

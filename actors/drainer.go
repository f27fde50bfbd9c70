package actors

// drainMessage is what a queue tells whoever empties it.
type drainMessage interface {
	connectionMessage()
	consumersMessage()
}

// drainer is who empties a queue: a connection, or consumers; nobody if zero.
type drainer struct {
	connection Ref[ConnectionMessage]
	consumers  Ref[ConsumersMessage]
}

// Tell tells m to whoever it is.
func (d drainer) Tell(m drainMessage) {
	d.connection.Tell(m)
	d.consumers.Tell(m)
}

// Gone is closed when it has stopped for good; nil for nobody.
func (d drainer) Gone() <-chan struct{} {
	if d.consumers != (Ref[ConsumersMessage]{}) {
		return d.consumers.Gone()
	}
	return d.connection.Gone()
}

package actors

import "github.com/mqttdb/mqttdb/types"

// doubt is about the messages that an earlier process may have sent: those that
// it had in flight are among the first that are pending, as many as its window
// had [S3.2]. They are sent with DUP, as a broker that has them may need to know.
type doubt struct {
	upTo  types.Seq // what the queue held when it was opened
	known bool      // left is set
	left  int       // messages that it is still about
}

// linked is for the first link, and for each later one; window is the largest
// that was used before.
func (d *doubt) linked(window int) {
	if !d.known {
		d.known, d.left = true, window
	}
}

// about says whether it is about the message, which is sent for the first time
// now. Messages are asked about in their order.
func (d *doubt) about(seq types.Seq) bool {
	if d.left == 0 || seq > d.upTo {
		return false
	}
	d.left--
	return true
}

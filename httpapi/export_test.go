package httpapi

import "time"

// SetReadTime changes how long a request may take to come.
func (o *Options) SetReadTime(d time.Duration) { o.readTime = d }

// SetPace changes how many requests a second are answered.
func (o *Options) SetPace(n int) { o.pace = n }

// Routes lists the routes as "METHOD path".
func (s *Server) Routes() (list []string) {
	for _, r := range s.routes() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// MaxStreams is how many clients the stream has at most.
const MaxStreams = maxStreams

package inbrowser

import "testing"

// takeover is how long a publish may wait, in ms, while another tab takes over. The goal is
// a second, which a calm machine stays far below.
const takeover = "2000"

func TestTabs(t *testing.T) {
	tests := []struct{ name, tabs, shared, end string }{
		{"two, closed, SharedWorker", "2", "true", "closed"},
		{"two, crashed, SharedWorker", "2", "true", "crashed"},
		{"two, closed, Workers", "2", "false", "closed"},
		{"five, crashed, Workers", "5", "false", "crashed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, withMosquitto())
			s.listen("")
			s.play("tabs", "TABS="+test.tabs, "SHARED="+test.shared, "END="+test.end, "TAKEOVER="+takeover)
		})
	}
}

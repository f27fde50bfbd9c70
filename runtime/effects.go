package runtime

import (
	"strings"

	"github.com/mqttdb/mqttdb/config"
)

// effect is what it takes for a changed setting to count.
type effect uint8

const (
	elsewhere effect = iota // not a matter of this package
	atOnce                  // it is looked up whenever it is needed
	byLink                  // the link is ended, and another one made
	byWord                  // the queue and the link are told
	byRestart               // it cannot be changed while the program runs
)

// effectOf says what a setting, given as its pattern, takes: what the longest
// entry says that it lies within. Every key has one: a test holds that.
func effectOf(pattern string) (e effect, known bool) {
	longest := -1
	for of, patterns := range effects() {
		for _, p := range strings.Fields(patterns) {
			if config.Within(pattern, p) && len(p) > longest {
				e, known, longest = of, true, len(p)
			}
		}
	}
	return e, known
}

func effects() map[effect]string {
	return map[effect]string{
		elsewhere: "mqtt http",
		byRestart: `data_dir max_message_size session_expiry local
			connections.*.persist connections.*.sync`,
		atOnce: `connections.*.forward
			connections.*.subscribe[].local_prefix connections.*.subscribe[].retain`,
		byWord: `local.limits
			connections.*.rate connections.*.commit_delay connections.*.compaction_interval connections.*.limits connections.*.keep_sent`,
		byLink: `connections.*.broker connections.*.protocol connections.*.client_id
			connections.*.username connections.*.password_file connections.*.password connections.*.credentials
			connections.*.tls connections.*.proxy
			connections.*.clean_session connections.*.shared_session connections.*.session_lost connections.*.bridge
			connections.*.keep_alive connections.*.stall_timeout connections.*.max_attempts
			connections.*.will connections.*.birth connections.*.close
			connections.*.window connections.*.window_bytes connections.*.qos2_window
			connections.*.max_qos connections.*.retain
			connections.*.subscribe`,
	}
}

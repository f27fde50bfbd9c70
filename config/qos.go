package config

import (
	"errors"

	"github.com/mqttdb/mqttdb/types"
)

// QoS is a quality of service as it is configured, where not saying it and
// saying 0 are different things.
type QoS uint8

const (
	QoSDefault QoS = iota // what the field documents as its default
	QoS0
	QoS1
	QoS2
	QoSKeep // that of the message
)

func (q QoS) words() []string { return []string{"", "0", "1", "2", "keep"} }

func (q QoS) String() string { return word(q) }

// UnmarshalText reads 0, 1, 2 or keep.
func (q *QoS) UnmarshalText(text []byte) error {
	if choose(q, text) != nil {
		return errors.New("must be 0, 1 or 2, or for what is forwarded also keep")
	}
	return nil
}

// Of is the QoS for a message that has qos.
func (q QoS) Of(qos types.QoS) types.QoS {
	if q >= QoS0 && q <= QoS2 {
		return types.QoS(q - QoS0)
	}
	return qos
}

// check complains unless q is one of the levels, or keep where that is meant.
func (q QoS) check(p *problems, path string, keep bool) {
	switch {
	case q >= QoS0 && q <= QoS2, q == QoSKeep && keep:
	case keep:
		p.add(path, "must be 0, 1, 2 or keep", "")
	default:
		p.add(path, "must be 0, 1 or 2", "")
	}
}

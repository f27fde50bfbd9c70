package actors

import (
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// keepUnsafe takes out of an answer to a Fetch behind after the first message
// with QoS 2 that is not synced, and what follows it, and says whether there is
// one: then it is synced at once, under every policy, and the connection told
// Available. A broker knows it by a packet id that follows from its number: it
// must not know one that a power cut could give to another message [S3.3].
func (a *queue) keepUnsafe(f *Fetched, after types.Seq) bool {
	if f.Through <= a.safe {
		return false
	}
	i := slices.IndexFunc(f.Records, func(r persistence.Record) bool { return r.Seq > a.safe && r.Message.QoS == 2 })
	if i < 0 {
		return false
	}
	f.Records, f.Through = f.Records[:i], after
	if i > 0 {
		f.Through = f.Records[i-1].Seq
	}
	f.Last = f.Through
	a.wanting, a.supplying = true, supplying{}
	switch {
	case !a.dirty: // a sync is under way
	case len(a.syncs) > 0:
		a.overdue = true
	default:
		a.beginSync()
	}
	return true
}

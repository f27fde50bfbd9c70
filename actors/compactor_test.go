package actors

import "testing"

// A process that is started again and again, and never lives until the next
// interval, does not fill the directory.
func TestManyShortLivesAreCompacted(t *testing.T) {
	s := newTestStore()
	sys := newTestSystem(t)
	compactor, err := SpawnCompactor(sys, CompactorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, compactor)
	most := uint64(0)
	for i := range 100 {
		b := newBell()
		q, err := SpawnQueue(sys, QueueConfig{Name: "test/outgoing", Open: s.opener("test/outgoing"), Compactor: compactor, Changed: b.ring})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			mustPut(t, q, "t", 1)
		}
		describe(t, q)
		b.wait(t, "the end of the compaction", func() bool { return !q.State().CompactionDue })
		most = max(most, q.State().DiskBytes)
		stop(t, q.Ref)
	}
	if most > 16<<10 {
		t.Errorf("one message came to take %d bytes", most)
	}
}

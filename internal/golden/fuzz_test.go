package golden

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzSession lets a broker, the network and the process do what they like, a byte
// for each step, and wants everything to have arrived once the broker has got all:
// at QoS 2 exactly once, at QoS 1 at least once, first arrivals in order.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"aaaabbbb",
		"accccmbbbb", "cccmbcccmbcccmbbbb", // links end
		"cccckbbccckbbcccckb", "ccccpbbcccpbbccccpb", // processes and machines die
		"ccccbbbblccccbbl", "ccccbbblmccbbk", // answers come in another order, sessions get lost
		"ddddcccxmdddbbbxkb",                        // cleared in flight
		"aabbccgbbccmgbbccgkb",                      // nonsense
		"cccbbAcccbbBbbCcccbbDaabbEbbFcccccbbGmbbb", // settings and brokers change
		"ccccccccccccccccccccbbbbbbbbbbbbbbbbbbbbkbbbbbbbbbbbbbbbbbbbbkbbbbbb",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		steps = steps[:min(len(steps), 400)]
		var b *model
		synctest.Test(t, func(t *testing.T) { b = play(t, steps) })
		b.complain(t)
	})
}

// The same, at random.
func TestSessionAtRandom(t *testing.T) {
	for seed := range uint64(60) {
		var b *model
		synctest.Test(t, func(t *testing.T) { b = play(t, steps(seed)) })
		if b.complain(t); t.Failed() {
			t.Fatalf("seed %d: %s", seed, steps(seed))
		}
	}
}

// The control: what is published at QoS 2 and sent at QoS 1 arrives twice now and
// then, and that must be seen.
func TestSessionAtRandomSeesHarm(t *testing.T) {
	for seed := range uint64(60) {
		var b *model
		synctest.Test(t, func(t *testing.T) { b = play(t, steps(seed), "max_qos: 1") })
		if len(b.wrong) > 0 {
			return
		}
	}
	t.Error("no harm was seen")
}

func steps(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	list := make([]byte, 20+r.IntN(200))
	for i := range list {
		if list[i] = byte('a' + r.IntN(26)); r.IntN(8) == 0 {
			list[i] = byte('A' + r.IntN(changes))
		}
	}
	return list
}

// play does what the bytes say, and judges.
func play(t *testing.T, steps []byte, configure ...string) *model {
	s := newStory(t)
	for _, line := range append(configure, "window: 5", "max_attempts: 1000") {
		s.configure(line)
	}
	b := newModel(t)
	s.broker = b
	s.start()
	for i, step := range steps {
		b.step(s, step, byte(i))
		synctest.Wait()
	}
	s.faults.Heal()
	s.rt.Connection("gw").Resume()
	b.orderly()
	pending := func() uint64 { return s.rt.Connection("gw").Status().Outgoing.Pending }
	for waited := time.Duration(0); pending() > 0 && waited < longest; waited += time.Second {
		<-time.After(time.Second)
	}
	synctest.Wait()
	b.judge(s)
	s.end()
	return b
}

// complain says what is wrong, and how that came.
func (b *model) complain(t *testing.T) {
	if len(b.wrong) > 0 {
		t.Errorf("%s:\n%s", strings.Join(b.wrong, "\n"), strings.Join(b.story, "\n"))
	}
}

//go:build !js

package stored

import (
	"context"
	"errors"
	"fmt"

	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// Verdict is what Verify found out about a queue.
type Verdict struct {
	Directory string   `json:"directory"`
	Busy      bool     `json:"busy"`
	Entries   int      `json:"entries"`
	Messages  uint64   `json:"messages"` // that are still needed
	Missing   uint64   `json:"missing"`  // messages that were accepted, and are not there
	Faults    []string `json:"faults"`   // what is damaged, each with its place
	Notes     []string `json:"notes"`    // what looks odd and is none
}

// Sound says that nothing is damaged.
func (v *Verdict) Sound() bool { return len(v.Faults) == 0 }

// Verify reads everything in the queue in dir. progress is told how many bytes were
// read, of how many; nil: nobody is. In a queue that is in use something may be given
// back just now: what looks damaged is looked at again.
func Verify(ctx context.Context, dir string, progress func(done, all int64)) (Verdict, error) {
	v, err := verify(ctx, dir, progress)
	for range 2 {
		if err != nil || !v.Busy || v.Sound() {
			break
		}
		v, err = verify(ctx, dir, progress)
	}
	return v, err
}

func verify(ctx context.Context, dir string, progress func(done, all int64)) (Verdict, error) {
	verdict := Verdict{Directory: dir, Faults: []string{}, Notes: []string{}}
	v, busy, err := nutsdb.Look(ctx, dir)
	if err != nil {
		return verdict, err
	}
	defer v.Close()
	verdict.Busy, verdict.Missing = busy, v.Missing()
	all := int64(0)
	for _, s := range v.Segments() {
		all += s.Bytes
	}
	for _, d := range v.Damage() {
		place := Damage{d.Segment, d.Offset, d.Bytes, d.Last}
		if d.Last {
			verdict.Notes = append(verdict.Notes, place.String())
		} else {
			verdict.Faults = append(verdict.Faults, place.String())
		}
	}
	foreign := make(map[uint64]int)
	for _, segment := range v.Unknown() {
		foreign[segment]++
	}
	for _, s := range v.Segments() {
		if n := foreign[s.ID]; n > 0 {
			verdict.Faults = append(verdict.Faults, fmt.Sprintf("segment %d: %d entries of another store or of a newer version", s.ID, n))
		}
	}
	done := int64(0)
	for e := range v.Entries() {
		if err := ctx.Err(); err != nil {
			return verdict, err
		}
		verdict.Entries++
		verdict.Messages += uint64(e.Live)
		switch err := v.Check(e); {
		case err == nil, errors.Is(err, types.ErrInUse): // by one who has done with that
		default:
			verdict.Faults = append(verdict.Faults, fmt.Sprintf("entry %d in segment %d, messages %d to %d: %v", e.LSN, e.Segment, e.First, e.Last, err))
		}
		if done += int64(e.Size); progress != nil {
			progress(done, all)
		}
	}
	if verdict.Missing > 0 {
		verdict.Faults = append(verdict.Faults, fmt.Sprintf("%d messages were accepted, have not left, and are not there", verdict.Missing))
	}
	return verdict, nil
}

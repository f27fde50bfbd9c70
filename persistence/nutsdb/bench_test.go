//go:build !js

package nutsdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
)

// BenchmarkAppendSync is one durable write at a time, in turns with a bare
// append and fdatasync of the same size, so that both see the same disk.
func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{16 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			src := testSource(b.TempDir(), 0)
			src.disk = realDisk
			m, err := openSource(src)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			v := entryValue(testStore, 1, size-persistence.HeaderSize)
			var ours, bare []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := m.Append(uint64(len(ours)+1), v); err != nil {
					b.Fatal(err)
				}
				if err := m.Sync(); err != nil {
					b.Fatal(err)
				}
				middle := time.Now()
				if _, err := f.Write(v); err != nil {
					b.Fatal(err)
				}
				if err := syncData(f); err != nil {
					b.Fatal(err)
				}
				ours, bare = append(ours, middle.Sub(start)), append(bare, time.Since(middle))
			}
			b.ReportMetric(float64(median(ours).Microseconds()), "µs/append")
			b.ReportMetric(float64(median(bare).Microseconds()), "µs/bare")
			b.ReportMetric(float64(sum(bare))/float64(sum(ours)), "of-bare")
		})
	}
}

func median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

func sum(d []time.Duration) (total time.Duration) {
	for _, d := range d {
		total += d
	}
	return total
}

// BenchmarkOpen is Inspect and Start of a queue that was closed, of one whose
// process was killed some seconds after its last manifest, and of one without
// any manifest.
func BenchmarkOpen(b *testing.B) {
	for _, test := range []struct{ entries, size int }{{1000, 64 << 10}, {10000, 64 << 10}, {32000, 64 << 10}, {10000, 1 << 10}} {
		for _, kind := range []string{"sealed", "unsealed"} {
			b.Run(fmt.Sprintf("%dx%dKiB/%s", test.entries, test.size>>10, kind), func(b *testing.B) {
				dir := b.TempDir()
				m := openDir(b, dir, 0)
				for i := range test.entries {
					if _, err := m.Append(uint64(i+1), entryValue(testStore, uint64(i+1), test.size-persistence.HeaderSize)); err != nil {
						b.Fatal(err)
					}
				}
				m.Close()
				segments := 0
				for b.Loop() {
					b.StopTimer()
					if kind == "unsealed" {
						if err := removeAll(dir, sealSuffix, hintSuffix); err != nil {
							b.Fatal(err)
						}
					}
					src := testSource(dir, 0)
					src.disk = realDisk
					b.StartTimer()
					c, err := src.Inspect(context.Background())
					if err != nil {
						b.Fatal(err)
					}
					m, err := src.Start(context.Background(), persistence.EncodeStoreRecord(testStore))
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if segments = len(c.Segments); len(c.Entries) != test.entries {
						b.Fatalf("%d entries", len(c.Entries))
					}
					m.Close()
					b.StartTimer()
				}
				b.ReportMetric(float64(segments), "segments")
			})
		}
	}
}

func removeAll(dir string, suffixes ...string) error {
	for _, suffix := range suffixes {
		paths, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func BenchmarkLoad(b *testing.B) {
	m := openDir(b, b.TempDir(), 0)
	const entries = 1000
	for key := uint64(1); key <= entries; key++ {
		if _, err := m.Append(key, entryValue(testStore, key, 64<<10)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(64 << 10)
	key := uint64(0)
	for b.Loop() {
		if _, err := m.Load(key%entries + 1); err != nil {
			b.Fatal(err)
		}
		key++
	}
}

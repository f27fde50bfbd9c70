package config

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration // -1: an error
	}{
		{"500ms", 500 * time.Millisecond}, {"30s", 30 * time.Second}, {"1h", time.Hour}, {"1h30m", 90 * time.Minute},
		{"1.5h", 90 * time.Minute}, {"7d", 168 * time.Hour}, {"168h", 168 * time.Hour}, {"1d12h", 36 * time.Hour},
		{"0", 0}, {"0s", 0}, {"0d", 0}, {"106751d", 106751 * 24 * time.Hour},
		{"30", -1}, {"30.5", -1}, {"1e3", -1}, {"NaN", -1}, {"", -1}, {"s", -1}, {"d", -1}, {"-1s", -1}, {"+1s", -1}, {"-1d", -1},
		{"1d-1h", -1}, {"1d5", -1}, {"1.5d", -1}, {"1 s", -1}, {"1w", -1}, {"1h1d", -1}, {"1d1d", -1},
		{"106752d", -1}, {"106751d24h", -1}, {"99999999999d", -1}, {"9999999999h", -1},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseDuration(tt.text)
			if (err != nil) != (tt.want < 0) || err == nil && got != tt.want {
				t.Errorf("ParseDuration: %v, %v", got, err)
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want int64 // -1: an error
	}{
		{"0", 0}, {"4096", 4096}, {"1B", 1}, {"64KiB", 65536}, {"4KiB", 4096}, {"4MiB", 4 << 20}, {"4 MiB", 4 << 20},
		{"1kB", 1000}, {"1KB", 1000}, {"1MB", 1e6}, {"2GB", 2e9}, {"1GiB", 1 << 30}, {"3TB", 3e12}, {"1TiB", 1 << 40},
		{"1.5MiB", 3 << 19}, {"0.5KiB", 512}, {"9223372036854775807", math.MaxInt64},
		{"", -1}, {"MiB", -1}, {"1M", -1}, {"1Mb", -1}, {"1mib", -1}, {"-1", -1}, {"+1", -1}, {"1e3", -1}, {"0x10", -1}, {"1.2.3", -1},
		{"0.5", -1}, {"1.1KiB", -1}, {".", -1}, {"9223372036854775808", -1}, {"9007199254740993TiB", -1}, {"8388608TiB", -1}, {"99999999.5TiB", -1},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseSize(tt.text)
			if (err != nil) != (tt.want < 0) || err == nil && got != tt.want {
				t.Errorf("ParseSize: %v, %v", got, err)
			}
		})
	}
}

// What is formatted reads back as the same.
func TestFormatReadsBack(t *testing.T) {
	for _, n := range []int64{0, 1, 1000, 1023, 1024, 4 << 20, 3 << 19, 1<<40 + 1, math.MaxInt64} {
		if got, err := ParseSize(FormatSize(n)); got != n || err != nil {
			t.Errorf("%d is written %q and read back as %d, %v", n, FormatSize(n), got, err)
		}
	}
	for _, d := range []time.Duration{0, 1, time.Millisecond, time.Minute, time.Hour, 90 * time.Minute, 10 * time.Second, 168 * time.Hour, math.MaxInt64} {
		if got, err := ParseDuration(FormatDuration(d)); got != d || err != nil {
			t.Errorf("%d is written %q and read back as %v, %v", d, FormatDuration(d), got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1d", "1h30m", "64MiB", "0.1kB", "1e9", "٣s", "0x1p3B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
				t.Errorf("%q is %v, and that %v, %v", s, d, again, err)
			}
		}
		if n, err := ParseSize(s); err == nil {
			if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
				t.Errorf("%q is %v, and that %v, %v", s, n, again, err)
			}
		}
	})
}

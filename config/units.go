package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// None switches off, in Go, a limit or timer whose zero value stands for a
// default other than none. In the file 0 says the same.
const None = -1

// ParseDuration reads a duration with its units: 500ms, 30s, 5m, 1h30m, 7d. A
// number without a unit is an error, except 0.
func ParseDuration(s string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(s, 64); err == nil && s != "0" {
		return 0, errors.New("a duration needs a unit: 500ms, 30s, 5m, 1h, 7d")
	}
	bad := errors.New("not a duration: write it like 500ms, 30s, 5m, 1h30m, 7d")
	var days time.Duration
	if number, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return 0, bad
		}
		if n > math.MaxInt64/uint64(24*time.Hour) {
			return 0, errors.New("the duration is too long")
		}
		if days, s = time.Duration(n)*24*time.Hour, rest; s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, bad
	case d < 0 || s[0] == '-' || s[0] == '+':
		return 0, errors.New("a duration has no sign")
	case days > math.MaxInt64-d:
		return 0, errors.New("the duration is too long")
	}
	return days + d, nil
}

// FormatDuration writes d as ParseDuration reads it, without parts that are
// zero.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnit is a name for a number of bytes.
type sizeUnit struct {
	name  string
	bytes int64
}

// sizeUnits returns the units, the largest first.
func sizeUnits() []sizeUnit {
	return []sizeUnit{
		{"TiB", 1 << 40}, {"TB", 1e12},
		{"GiB", 1 << 30}, {"GB", 1e9},
		{"MiB", 1 << 20}, {"MB", 1e6},
		{"KiB", 1 << 10}, {"kB", 1e3}, {"KB", 1e3},
		{"B", 1},
	}
}

// ParseSize reads a number of bytes: 4096, 64KiB, 4 MiB, 1.5GB. KiB, MiB, GiB
// and TiB are powers of 1024; kB, MB, GB and TB of 1000.
func ParseSize(s string) (int64, error) {
	number, factor := s, int64(1)
	for _, u := range sizeUnits() {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = strings.TrimRight(n, " "), u.bytes
			break
		}
	}
	if strings.Trim(number, "0123456789.") != "" || number == "" {
		return 0, errors.New("not a size: write it like 4096, 64KiB, 4MiB, 1GB")
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/factor {
			return 0, errors.New("the size is too large")
		}
		return n * factor, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	switch f *= float64(factor); {
	case errors.Is(err, strconv.ErrRange) || f >= math.MaxInt64:
		return 0, errors.New("the size is too large")
	case err != nil:
		return 0, errors.New("not a size: write it like 4096, 64KiB, 4MiB, 1GB")
	case f != math.Trunc(f):
		return 0, errors.New("not a whole number of bytes")
	}
	return int64(f), nil
}

// FormatSize writes n as ParseSize reads it: in the largest binary unit of
// which it is a whole multiple.
func FormatSize(n int64) string {
	for _, u := range sizeUnits() {
		if n >= u.bytes && n%u.bytes == 0 && strings.HasSuffix(u.name, "iB") {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

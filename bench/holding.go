//go:build linux

package main

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// holding is what this process holds, or one of many equal things in it: bytes of
// heap and of stacks in use, and goroutines.
type holding struct {
	bytes, goroutines float64
	split             split
}

// split says to which packages it belongs.
type split struct{ bytes, goroutines map[string]float64 }

// held is what this process holds now, after a garbage collection.
func held() holding {
	runtime.MemProfileRate = 1 // all allocations from now on are accounted for
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holding{float64(m.HeapInuse + m.StackInuse), float64(runtime.NumGoroutine()), split{bytesByPackage(), goroutinesByPackage()}}
}

func (h holding) String() string {
	return fmt.Sprintf("%.1f KiB and %.2f goroutines: %s", h.bytes/1024, h.goroutines, h.split)
}

// since is what each of the quiet ones has added.
func (h holding) since(before holding) holding {
	h = h.without(before)
	h.bytes /= quiet
	h.goroutines /= quiet
	for _, part := range []map[string]float64{h.split.bytes, h.split.goroutines} {
		for p := range part {
			part[p] /= quiet
		}
	}
	return h
}

func (h holding) without(less holding) holding {
	return holding{
		h.bytes - less.bytes, h.goroutines - less.goroutines,
		split{difference(h.split.bytes, less.split.bytes), difference(h.split.goroutines, less.split.goroutines)},
	}
}

func difference(a, b map[string]float64) map[string]float64 {
	d := maps.Clone(a)
	for k, v := range b {
		d[k] -= v
	}
	return d
}

// String lists the packages that hold much, those with most first.
func (s split) String() string {
	part := func(m map[string]float64, least float64, format string) string {
		names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return int(100 * (m[b] - m[a])) })
		var list []string
		for _, name := range names {
			if v := m[name]; v >= least {
				list = append(list, fmt.Sprintf(format, v, strings.TrimPrefix(strings.TrimPrefix(name, "github.com/"), "mqttdb/mqttdb/")))
			}
		}
		return strings.Join(list, ", ")
	}
	return part(s.bytes, 1000, "%.0f B %s") + "; goroutines: " + part(s.goroutines, 0.1, "%.2f %s")
}

// bytesByPackage is the heap in use, by the innermost package that is not of the
// standard library.
func bytesByPackage() map[string]float64 {
	records := make([]runtime.MemProfileRecord, 10_000)
	for {
		n, ok := runtime.MemProfile(records, true)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, 2*n)
	}
	by := make(map[string]float64)
	for i := range records {
		by[packageOf(records[i].Stack(), false)] += float64(records[i].InUseBytes())
	}
	return by
}

// goroutinesByPackage counts goroutines by the package that began them.
func goroutinesByPackage() map[string]float64 {
	records := make([]runtime.StackRecord, 10_000)
	n, _ := runtime.GoroutineProfile(records)
	by := make(map[string]float64)
	for i := range records[:n] {
		by[packageOf(records[i].Stack(), true)]++
	}
	return by
}

// packageOf is the package of the innermost function of a stack that is not of
// the standard library, or of the outermost one.
func packageOf(stack []uintptr, outermost bool) string {
	found := "the standard library"
	for frames := runtime.CallersFrames(stack); ; {
		frame, more := frames.Next()
		slash := strings.LastIndexByte(frame.Function, '/') + 1
		name, _, _ := strings.Cut(frame.Function[slash:], ".")
		if path := frame.Function[:slash] + name; strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
			if found = path; !outermost {
				return found
			}
		}
		if !more {
			return found
		}
	}
}

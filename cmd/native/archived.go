//go:build !js

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/archive/nedb"
)

// archived is a file that messages are imported from.
type archived struct {
	archive.Source
	nedb *nedb.File // if it is one

	closers  []func() error
	read     *counting
	size     int64 // 0: not known
	messages int   // of a NeDB file
}

// counting counts what is read.
type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// openArchive opens a file and finds out what it is; "-" is stdin.
func openArchive(name string, stdin io.Reader) (_ *archived, err error) {
	a := &archived{read: &counting{r: stdin}}
	defer func() {
		if err != nil {
			_ = a.Close()
		}
	}()
	file, _ := stdin.(*os.File)
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return nil, err
		}
		a.closers = append(a.closers, file.Close)
		info, err := file.Stat()
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory: name a file that mqttdb export wrote, or one of NeDB in it", name)
		}
		a.read.r, a.size = file, info.Size()
	}
	var seen bytes.Buffer
	old, err := sniff(io.TeeReader(a.read, &seen))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	whole := io.MultiReader(&seen, a.read)
	if !old {
		a.Source = archive.NewReader(whole)
		return a, nil
	}
	if name == "-" { // it is read twice
		if file, err = a.spool(whole); err != nil {
			return nil, err
		}
	}
	if a.nedb, err = nedb.Open(file); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	a.Source, a.messages = a.nedb, a.nedb.Len()
	return a, nil
}

// spool copies r into a file that is gone when a is closed.
func (a *archived) spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "mqttdb-import-*")
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, f.Close, func() error { return os.Remove(f.Name()) })
	_, err = io.Copy(f, r)
	return f, err
}

// How much of a file is looked at to tell what it is.
const (
	sniffLines = 100
	sniffBytes = 64 << 20
)

var errUnknownFile = errors.New("it is neither a file that mqttdb export wrote, nor one of NeDB")

// sniff says whether r is a file of NeDB, and not one of mqttdb. The first lines may be
// damaged.
func sniff(r io.Reader) (old bool, err error) {
	lines := archive.NewLines(io.LimitReader(r, sniffBytes), sniffBytes)
	for range sniffLines {
		b, err := lines.Next()
		var bad *archive.LineError
		switch {
		case err == io.EOF && lines.Number() == 0:
			return false, nil // nothing is in it
		case err == io.EOF:
			return false, errUnknownFile
		case errors.As(err, &bad):
			continue
		case err != nil:
			return false, err
		}
		var ours struct {
			Version int `json:"mqttdb"`
		}
		if json.Unmarshal(b, &ours) == nil && ours.Version > 0 {
			return false, nil
		}
		if nedb.Is(b) {
			return true, nil
		}
	}
	return false, errUnknownFile
}

// progress is how much was read, of how much; 0: nobody knows.
func (a *archived) progress() (done, all int64) {
	if a.nedb != nil {
		return int64(a.messages - a.nedb.Len()), int64(a.messages)
	}
	return a.read.n, a.size
}

// Close gives back what was opened.
func (a *archived) Close() error {
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

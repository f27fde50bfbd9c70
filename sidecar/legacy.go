package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/archive/nedb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// What the nodes before mqttdb have left is a file where a queue has its directory. It
// is put aside under another name, imported, and named once more when that is
// committed: whatever dies meanwhile, the rest is imported the next time, and nothing
// twice, for what a message was is stored with it.
const (
	asideName    = ".nedb"
	importedName = ".imported"
)

// setAside moves the old file of a queue away, if there is one, and says whether there
// is one to import.
func (h *house) setAside(id, queue string) (bool, error) {
	path := filepath.Join(h.dir, id, queue)
	old := path
	if !isFile(path) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && isFile(path+"~") {
			old = path + "~" // NeDB had just written it anew
		} else {
			return isFile(path + asideName), nil
		}
	}
	if isFile(path + asideName) {
		return false, fmt.Errorf("both %s and %s%s are there: import one of them with mqttdb import, and move it elsewhere", old, path, asideName)
	}
	if err := os.Rename(old, path+asideName); err != nil {
		return false, fmt.Errorf("put the file of the nodes before mqttdb aside: %w", err)
	}
	return true, nil
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// legacy puts old files of a broker aside before it is opened, and returns which of its
// queues have some to be imported, with what to tell the user.
func (h *house) legacy(id string, p *plan) (queues []types.QueueName, err error) {
	for queue, stored := range map[types.QueueName]config.Switch{types.Outgoing: p.connection.Persist.Outgoing, types.Incoming: p.connection.Persist.Incoming} {
		path := filepath.Join(h.dir, id, string(queue))
		if stored != config.On {
			if isFile(path) {
				p.notes = append(p.notes, fmt.Sprintf("messages of the nodes before mqttdb are in %s: turn persist %s on to have them imported", path, queue))
			}
			continue
		}
		there, err := h.setAside(id, string(queue))
		if err != nil {
			return nil, err
		}
		if there {
			queues = append(queues, queue)
		}
	}
	return queues, nil
}

// importOld imports what was put aside into a queue of a broker that is open.
func (h *house) importOld(ctx context.Context, id string, queue types.QueueName) (Imported, error) {
	path := filepath.Join(h.dir, id, string(queue)) + asideName
	result, err := h.load(ctx, id, queue, path)
	did := Imported{Messages: int(result.Imported + result.Known), Unreadable: int(result.Refused)}
	if err != nil {
		return did, fmt.Errorf("import %s: %w", path, err)
	}
	if result.Refused > 0 {
		h.log.Warn("not all messages of the nodes before mqttdb can be read; the file is kept", "conn", id, "file", path, "unreadable", result.Refused, "why", result.Why)
	}
	to := filepath.Join(h.dir, id, string(queue)) + importedName
	for n := 2; isFile(to); n++ {
		to = fmt.Sprintf("%s.%d", filepath.Join(h.dir, id, string(queue))+importedName, n)
	}
	if err := os.Rename(path, to); err != nil {
		return did, fmt.Errorf("import %s: %w", path, err)
	}
	h.log.Info("messages of the nodes before mqttdb are imported", "conn", id, "queue", queue, "messages", did.Messages, "file", to)
	return did, nil
}

func (h *house) load(ctx context.Context, id string, queue types.QueueName, path string) (archive.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return archive.Result{}, err
	}
	defer f.Close()
	old, err := nedb.Open(f)
	if err != nil {
		return archive.Result{}, err
	}
	check := func(m *types.Message) error { return m.Check(maxMessage) }
	return archive.Load(old, check, func(list []archive.Message) (archive.Result, error) {
		n, err := h.engine.Import(ctx, id, queue, archive.Stored(list), false)
		return archive.Result{Imported: uint64(n), Known: uint64(len(list) - n)}, err
	})
}

// plus adds what else was imported.
func (i *Imported) plus(o Imported) {
	i.Messages += o.Messages
	i.Unreadable += o.Unreadable
}

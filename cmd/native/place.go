//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/mqttdb/mqttdb/cmd/native/stored"
	"github.com/mqttdb/mqttdb/types"
)

// place is where stored messages are read: from a gateway that runs, or from files.
type place struct {
	gateway    gateway
	connection string   // of the gateway
	dirs       []string // of queues; nil: the gateway is asked
}

// reach finds out what arg means: a directory, or a connection, for which a gateway that
// runs is asked, unless it has no such one.
func (o *options) reach(ctx context.Context, arg string) (place, error) {
	if info, err := os.Stat(arg); err == nil && info.IsDir() && o.config == "" {
		dirs, err := stored.Find(arg)
		return place{dirs: dirs}, err
	}
	g, err := o.gateway()
	if err != nil {
		return place{}, err
	}
	statuses, err := g.statuses(ctx)
	var off *noGateway
	if err != nil && !errors.As(err, &off) {
		return place{}, err
	}
	for _, s := range statuses {
		if s.Name == arg && !s.Orphan {
			return place{gateway: g, connection: arg}, nil
		}
	}
	dirs, err := o.place([]string{arg})
	return place{dirs: dirs}, err
}

// part is messages that are read together.
type part struct {
	dir   string // "": of the gateway
	queue types.QueueName
	all   bool // it was not asked for: there may be none
}

// parts lists what of p is meant by the name of a queue; "": all that is pending.
func (p *place) parts(queue types.QueueName) ([]part, error) {
	if p.dirs == nil {
		if queue != "" {
			return []part{{queue: queue}}, nil
		}
		return []part{{queue: types.Outgoing, all: true}, {queue: types.Incoming, all: true}}, nil
	}
	var list []part
	var has []types.QueueName
	for _, dir := range p.dirs {
		names := stored.Queues(dir)
		has = append(has, names...)
		switch {
		case slices.Contains(names, queue):
			list = append(list, part{dir: dir, queue: queue})
		case queue == "" && len(names) > 0 && names[0] != types.Retained:
			list = append(list, part{dir: dir, queue: names[0], all: true})
		}
	}
	if len(list) == 0 {
		slices.Sort(has)
		return nil, fmt.Errorf("%w: %q; there are %v", types.ErrUnknownQueue, queue, slices.Compact(has))
	}
	return list, nil
}

package runtime

import (
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
)

// brokers are those of a connection, in the order in which they are tried.
func (rt *Runtime) brokers(cfg config.Connection) ([]actors.Broker, error) {
	var list []actors.Broker
	for _, url := range cfg.Brokers() {
		one := cfg
		one.Broker, one.Failover = url, nil
		d, err := rt.o.Dialer(one)
		if err != nil {
			return nil, fmt.Errorf("the link to %s: %w", config.Endpoint(url), err)
		}
		list = append(list, actors.Broker{Name: config.Endpoint(url), Dialer: d})
	}
	return list, nil
}

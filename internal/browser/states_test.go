package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// Each state of a connection looks like what it is, and nothing is offered that cannot be
// done in it.
func TestStates(t *testing.T) {
	look := prepare(t)
	open := mosquitto.Start(t).Addr()
	closed := mosquitto.Start(t, mosquitto.WithUser("paint", "what the gateway does not know")).Addr()
	connections := fmt.Sprintf(`  boiler: {broker: "mqtt://%[1]s", client_id: boiler}
  dryer: {broker: "mqtt://127.0.0.1:1", client_id: dryer}
  kiln: {broker: "mqtt://%[1]s", client_id: kiln}
  lathe: {broker: "mqtt://127.0.0.1:1", client_id: lathe, limits: {max_messages: 3}}
  oven: {broker: "mqtt://%[1]s", client_id: oven, limits: {min_free_disk: 1000000GiB}}
  paint: {broker: "mqtt://%[2]s", client_id: paint}
  press: {broker: "mqtt://%[3]s", client_id: press}
  saw: {broker: "mqtt://%[4]s", client_id: saw, stall_timeout: 1s}
`, open, closed, silent(t), deaf(t))
	g := start(t, build(t), connections, "")
	look(2*time.Minute, "states.mjs", "GATEWAY="+g.url, "STEERING="+g.steering(), "CONNECTIONS="+connections)
}

package config

import (
	"strings"
	"testing"
)

func TestFromEnv(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string // a line of the configuration, or of the error
	}{
		{"nothing", nil, "data_dir: ./data\n"},
		{"broker", map[string]string{"MQTTDB_BROKER": "mqtts://h"}, "connections.cloud.broker: mqtts://h:8883\n"},
		{"login", map[string]string{"MQTTDB_BROKER": "mqtts://h", "MQTTDB_USERNAME": "u", "MQTTDB_PASSWORD_FILE": "p"}, "connections.cloud.password_file: p\n"},
		{"data", map[string]string{"MQTTDB_DATA_DIR": "/var/lib/mqttdb"}, "data_dir: /var/lib/mqttdb\n"},
		{"empty", map[string]string{"MQTTDB_DATA_DIR": "", "MQTTDB_BROKER": ""}, "data_dir: ./data\n"},
		{"no broker", map[string]string{"MQTTDB_USERNAME": "u"}, "MQTTDB_BROKER: is missing"},
		{"bad broker", map[string]string{"MQTTDB_BROKER": "h"}, "MQTTDB_BROKER: is not a URL"},
		{"no user", map[string]string{"MQTTDB_BROKER": "mqtt://h", "MQTTDB_PASSWORD_FILE": "p"}, "MQTTDB_USERNAME: is missing"},
		{"bad directory", map[string]string{"MQTTDB_DATA_DIR": "a\x00"}, "MQTTDB_DATA_DIR: contains a NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := FromEnv(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			got := c.String()
			if err != nil {
				got = err.Error()
			}
			if wantErr := strings.HasPrefix(tt.want, "MQTTDB_"); wantErr != (err != nil) || !strings.Contains(got, tt.want) {
				t.Errorf("got\n%s\nwant %q", got, tt.want)
			}
		})
	}
}

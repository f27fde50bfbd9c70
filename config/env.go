package config

import (
	"errors"
	"strings"
)

// EnvConnection is the name of the connection that FromEnv makes.
const EnvConnection = "cloud"

// FromEnv makes a configuration from the environment alone, looked up by env:
// MQTTDB_BROKER, MQTTDB_USERNAME and MQTTDB_PASSWORD_FILE describe one
// connection named "cloud"; MQTTDB_DATA_DIR says where it is stored. Without
// MQTTDB_BROKER there is no connection. A variable that is empty counts as not
// set. Defaults are set; the error joins all problems and names the variables.
func FromEnv(env func(string) (string, bool)) (Config, error) {
	get := func(name string) string { v, _ := env(name); return v }
	c := Config{DataDir: get("MQTTDB_DATA_DIR")}
	conn := Connection{
		Name:         EnvConnection,
		Broker:       get("MQTTDB_BROKER"),
		Username:     get("MQTTDB_USERNAME"),
		PasswordFile: get("MQTTDB_PASSWORD_FILE"),
	}
	if conn.Broker != "" || conn.Username != "" || conn.PasswordFile != "" {
		c.Connections = []Connection{conn}
	}
	err := c.SetDefaultsAndValidate()
	if err == nil {
		return c, nil
	}
	var named []error
	for _, e := range Errors(err) {
		if key, ok := strings.CutPrefix(e.Path, "connections."+EnvConnection+"."); ok {
			e.Path = "MQTTDB_" + strings.ToUpper(key)
		} else if e.Path == "data_dir" {
			e.Path = "MQTTDB_DATA_DIR"
		}
		named = append(named, e)
	}
	return c, errors.Join(named...)
}

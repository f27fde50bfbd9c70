// Package interop holds no code: its tests run clients of other makes against
// the local broker of the real gateway: mosquitto's, mqtt.js and the MQTT nodes
// of Node-RED, which scripts/setup.sh and scripts/clients.sh install.
package interop

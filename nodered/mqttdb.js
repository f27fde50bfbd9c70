'use strict';

module.exports = function (RED) {
    RED.nodes.registerType('mqttdb-broker', require('./lib/broker')(RED), {
        credentials: { user: { type: 'text' }, password: { type: 'password' } },
    });
    RED.nodes.registerType('mqttdb in', require('./lib/in')(RED));
    RED.nodes.registerType('mqttdb out', require('./lib/out')(RED));
};

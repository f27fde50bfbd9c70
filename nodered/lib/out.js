'use strict';

const { outgoing, userProperties } = require('./outgoing');

module.exports = function (RED) {
    /** `mqttdb out`: what comes is stored, and published when the broker can be reached. */
    return function Out(n) {
        RED.nodes.createNode(this, n);
        const node = this;
        const broker = RED.nodes.getNode(n.broker);
        if (!broker) return node.error(RED._('mqttdb.errors.missing-config'));
        const settings = { topic: n.topic, qos: n.qos, retain: n.retain, properties: properties(n) };
        broker.register(node);

        node.on('input', (msg, send, done) => {
            if (msg.action) return act(msg).then(() => done(), done);
            if (!Object.hasOwn(msg, 'payload')) return done();
            let message;
            try {
                message = outgoing(settings, msg, broker.v5());
            } catch (err) {
                return done(err); // an object that cannot be JSON
            }
            if (!message) {
                node.warn(RED._('mqttdb.errors.invalid-topic'));
                return done();
            }
            const { payload, ...header } = message;
            header.b = broker.b;
            return broker.supervisor.publish(header, payload, (err) => {
                if (err && err.code === 'window') node.status({ fill: 'yellow', shape: 'ring', text: err.message });
                if (err) done(err);
                else done();
            });
        });
        node.on('close', (removed, done) => {
            broker.deregister(node);
            done();
        });

        async function act(msg) {
            if (msg.action === 'connect') return broker.connect(msg.broker);
            if (msg.action === 'disconnect') return broker.disconnect();
            throw new Error(RED._('mqttdb.errors.invalid-action-action'));
        }
        return undefined;
    };
};

// The MQTT 5 properties of the node: they go before the message's.
function properties(n) {
    const p = {};
    if (n.respTopic) p.responseTopic = n.respTopic;
    if (n.correl) p.correlationData = n.correl;
    if (n.contentType) p.contentType = n.contentType;
    if (n.expiry) p.messageExpiryInterval = n.expiry;
    try {
        const user = userProperties(JSON.parse(n.userProps || 'null'));
        if (user) p.userProperties = user;
    } catch {
        // not JSON: the editor marks it
    }
    return p;
}

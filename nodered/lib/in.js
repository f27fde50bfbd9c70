'use strict';

const { incoming, NotJSON } = require('./incoming');
const { isFilter } = require('./topics');

module.exports = function (RED) {
    /** `mqttdb in`: gives what the broker sends to the flow. */
    return function In(n) {
        RED.nodes.createNode(this, n);
        const node = this;
        const broker = RED.nodes.getNode(n.broker);
        const dynamic = Number(n.inputs) === 1;
        const qos = [0, 1, 2].includes(parseInt(n.qos, 10)) ? parseInt(n.qos, 10) : 2;
        const datatype = n.datatype || 'auto'; // the nodes before mqttdb had no datatype, and did what `auto` does
        const topics = new Map(); // topic -> subscription, as msg.subscriptions has it
        if (!broker) return node.error(RED._('mqttdb.errors.missing-config'));
        if (!dynamic && !n.topic) return node.error(RED._('mqttdb.errors.not-defined'));
        if (!dynamic && !isFilter(n.topic)) return node.warn(RED._('mqttdb.errors.invalid-topic'));

        const local = broker.broker === 'localhost' || broker.broker === '127.0.0.1';
        const receive = (header, payload) => {
            let msg;
            try {
                msg = incoming(header, payload, datatypeFor(header.t), broker.v5());
            } catch (err) {
                if (!(err instanceof NotJSON)) throw err;
                node.error(RED._(`mqttdb.errors.${err.key}`), { payload, topic: header.t, qos: header.q, retain: header.r });
                return;
            }
            if (local) msg._topic = header.t;
            node.send(msg);
        };
        const datatypeFor = (topic) => {
            for (const sub of topics.values()) if (sub.datatype && matches(sub.topic, topic)) return sub.datatype;
            return datatype;
        };
        const subscribe = () => broker.supervisor.subscribe(broker.b, node.id, [...topics.values()].map(wire), receive)
            .catch((err) => node.error(err.message));

        broker.register(node);
        if (!dynamic) topics.set(n.topic, { topic: n.topic, qos, nl: n.nl, rap: n.rap, rh: n.rh });
        subscribe();

        node.on('input', async (msg, send, done) => {
            try {
                switch (msg.action) {
                case 'connect':
                    await broker.connect(msg.broker);
                    break;
                case 'disconnect':
                    await broker.disconnect();
                    break;
                case 'subscribe':
                    for (const sub of asked(msg.topic)) {
                        const level = parseInt(sub.qos, 10);
                        topics.delete(sub.topic);
                        topics.set(sub.topic, { ...sub, qos: [0, 1, 2].includes(level) ? level : 2 });
                    }
                    await subscribe();
                    msg.subscriptions = [...topics.values()];
                    break;
                case 'unsubscribe':
                    for (const sub of msg.topic === true ? [...topics.values()] : asked(msg.topic)) topics.delete(sub.topic);
                    await subscribe();
                    msg.subscriptions = [...topics.values()];
                    break;
                case 'getSubscriptions':
                    msg.topic = 'subscriptions';
                    msg.payload = [...topics.values()];
                    send(msg);
                    break;
                default:
                    throw new Error(RED._('mqttdb.errors.invalid-action-action'));
                }
                done();
            } catch (err) {
                done(err);
            }
        });
        node.on('close', (removed, done) => {
            broker.supervisor.unsubscribe(broker.b, node.id, { end: removed });
            broker.deregister(node);
            done();
        });

        // The subscriptions that msg.topic names: a string, an object, or an array of them.
        function asked(topic) {
            const list = (Array.isArray(topic) ? topic : [topic]).map((one) => (typeof one === 'string' ? { topic: one } : one));
            if (list.some((sub) => sub === null || typeof sub !== 'object')) throw new Error(RED._('mqttdb.errors.invalid-action-badsubscription'));
            if (!list.every((sub) => isFilter(sub.topic))) throw new Error(RED._('mqttdb.errors.invalid-topic'));
            return list;
        }
        return undefined;
    };
};

function wire({ topic, qos, nl, rap, rh }) {
    return { topic, qos, nl: String(nl) === 'true', rap: String(rap) === 'true', rh: [0, 1, 2].includes(Number(rh)) ? Number(rh) : 0 };
}

// Whether the subscription to filter selects topic.
function matches(filter, topic) {
    const want = filter.replace(/^\$share\/[^/]+\//, '').split('/');
    const have = topic.split('/');
    for (let i = 0; i < want.length; i++) {
        if (want[i] === '#') return true;
        if (i >= have.length || (want[i] !== '+' && want[i] !== have[i])) return false;
    }
    return want.length === have.length;
}

'use strict';

const { supervisorOf } = require('./instance');
const { connection, brokerId, message, ticked } = require('./connection');
const { shown } = require('./state');

const OVERRIDES = ['url', 'broker', 'port', 'clientid', 'autoConnect', 'usetls', 'verifyservercert', 'compatmode', 'protocolVersion',
    'keepalive', 'cleansession', 'autoUnsubscribe', 'username', 'password'];

module.exports = function (RED) {
    /** The config node `mqttdb-broker`: a connection, which all nodes that name it share. */
    function Broker(n) {
        RED.nodes.createNode(this, n);
        this.settings = { ...n };
        this.broker = n.broker;
        this.b = brokerId(n.id);
        this.users = new Map(); // node id -> node
        this.supervisor = supervisorOf(RED);
        this.ephemeral = 'nodered' + RED.util.generateId();
        this.state = null;
        this.opened = false;
        this.problem = null;
        this.update = () => this.show();
        this.supervisor.on('status', this.update);
        this.on('close', (removed, done) => {
            this.supervisor.off('status', this.update);
            if (this.opened) this.supervisor.detach(this.b, { end: removed });
            done();
        });
    }

    /** @returns {boolean} whether the broker is one of MQTT 5 */
    Broker.prototype.v5 = function () {
        return Number(this.settings.protocolVersion) === 5 && !ticked(this.settings.compatmode, false);
    };

    /** A node uses the broker from now on; the first opens it. */
    Broker.prototype.register = function (node) {
        this.users.set(node.id, node);
        if (!this.opened) this.open();
        node.status(this.shown());
    };

    /** A node is gone; without any, the connection ends after the linger time. */
    Broker.prototype.deregister = function (node) {
        this.users.delete(node.id);
        if (this.users.size > 0 || !this.opened) return;
        this.opened = false;
        this.supervisor.detach(this.b);
    };

    /** @returns {Promise<void>} once it is what the settings say; what is wrong is shown, not thrown */
    Broker.prototype.open = async function () {
        this.opened = true;
        try {
            const tls = this.settings.tls ? RED.nodes.getNode(this.settings.tls) : null;
            const payload = connection(this.settings, this.credentials || {}, tls, this.ephemeral);
            if (payload.tls && payload.tls.insecure) this.warn(RED._('mqttdb.errors.unverified'));
            this.problem = null;
            const { notes = [], imported } = await this.supervisor.open(this.b, payload);
            for (const note of notes) this.log(note);
            if (imported) this.log(RED._('mqttdb.state.imported', imported));
        } catch (err) {
            this.problem = err;
            this.error(err.message);
            this.show();
        }
    };

    Broker.prototype.shown = function () {
        const inner = this.supervisor.open_.get(this.b);
        const problem = this.supervisor.problem || (inner ? inner.problem : this.problem);
        return shown(this.supervisor.brokers.get(this.b), problem, RED._);
    };

    Broker.prototype.show = function () {
        const status = this.supervisor.brokers.get(this.b);
        const next = this.shown();
        const state = status ? status.state : null;
        if (state !== this.state) {
            const where = { broker: status ? status.broker : this.broker };
            if (state === 'online') this.log(RED._('mqttdb.state.connected', where));
            else if (this.state === 'online') this.log(RED._('mqttdb.state.disconnected', where));
            else if (state === 'backoff' || state === 'refused') this.log(`${RED._('mqttdb.state.connect-failed', where)} ${status.error}`);
            this.state = state;
        }
        const line = JSON.stringify(next);
        if (line === this.line) return;
        this.line = line;
        for (const node of this.users.values()) node.status(next);
    };

    /** The action `connect`: with other settings until the next deploy, if override has any. */
    Broker.prototype.connect = async function (override) {
        if (override && typeof override === 'object') {
            const busy = this.state && this.state !== 'paused' && this.state !== 'offline';
            if (busy && !override.force) throw new Error(RED._('mqttdb.errors.invalid-action-alreadyconnected'));
            for (const name of OVERRIDES) if (Object.hasOwn(override, name)) this.settings[name] = override[name];
            for (const name of ['birth', 'close', 'will']) {
                const m = override[name];
                if (m !== undefined) this.settings[name] = m && m.topic ? message(m.topic, m.payload, m.qos, m.retain) : { topic: '' };
            }
            await this.open();
        }
        await this.supervisor.connect(this.b, true);
    };

    /** The action `disconnect`. */
    Broker.prototype.disconnect = function () {
        return this.supervisor.connect(this.b, false);
    };

    return Broker;
};

'use strict';

const { supervisorOf } = require('./lib/instance');
const { brokerId } = require('./lib/connection');

const CLEARED = ['outgoing', 'incoming', 'dead', 'orphan'];

// The server of the sidebar: the state is pushed to editors; Clear is a request.
module.exports = function (RED) {
    RED.plugins.registerPlugin('mqttdb-sidebar', {
        type: 'mqttdb-sidebar',
        onadd() {
            const supervisor = supervisorOf(RED);
            const state = () => ({
                problem: supervisor.problem ? supervisor.problem.message : '',
                brokers: [...supervisor.brokers.values()],
                orphans: supervisor.orphans,
            });
            supervisor.on('status', () => RED.comms.publish('mqttdb/status', state(), true));
            RED.httpAdmin.get('/mqttdb/status', RED.auth.needsPermission('flows.read'), (req, res) => res.json(state()));
            RED.httpAdmin.post('/mqttdb/:id/clear', RED.auth.needsPermission('flows.write'), async (req, res) => {
                const what = req.body && req.body.what;
                if (!CLEARED.includes(what)) return res.status(400).json({ error: `what is one of ${CLEARED.join(', ')}` });
                try {
                    return res.json(await supervisor.clear(brokerId(req.params.id), what));
                } catch (err) {
                    return res.status(409).json({ error: err.message });
                }
            });
        },
    });
};

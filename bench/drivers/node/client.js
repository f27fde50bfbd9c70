// A client of mqtt.js, new or old, on a store of its own.
'use strict'

// client connects, and tells when a message is in the store: mqtt.js tells its
// caller only when the broker has it. A new one calls cbStorePut; an old one hands
// the store the very payload that it was given.
function client (mqtt, stores, { broker, clientId }, old) {
  const waiting = new WeakMap() // from payloads to who waits for them
  const settle = (payload, err) => {
    const stored = waiting.get(payload)
    waiting.delete(payload)
    if (stored) stored(err)
  }
  if (old) {
    const put = stores.outgoing.put.bind(stores.outgoing)
    stores.outgoing.put = (packet, done) => put(packet, (err, ...rest) => {
      if (done) done(err, ...rest)
      settle(packet.payload, err)
    })
  }
  const c = mqtt.connect(broker, {
    clientId, clean: false, outgoingStore: stores.outgoing, incomingStore: stores.incoming, reconnectPeriod: 1000, resubscribe: false
  })
  c.on('error', err => console.error(err.message))
  return {
    // ready calls done when the first attempt to connect has ended, one way or the
    // other: the old nodes cannot send again what they have stored of bytes.
    ready (done) {
      let first = true
      const end = () => { if (first) { first = false; done() } }
      c.once('connect', end)
      c.once('close', end)
    },
    publish (topic, payload, stored) {
      waiting.set(payload, stored)
      // What the broker has was stored before.
      c.publish(topic, payload, { qos: 1, cbStorePut: () => settle(payload) }, err => settle(payload, err))
    },
    close (done) { c.end(true, () => stores.close(done)) }
  }
}

module.exports = { client }

// What a driver says to the bench: see package bench/protocol.
'use strict'
const readline = require('readline')
const { parseArgs } = require('util')
const { message, topic } = require('./message')

// serve carries out orders with what open(settings) returns: publish(topic,
// payload, stored) calls stored(error) when the product has kept its best promise,
// ready(done) calls done when it may begin, and close(done) ends it in good order.
function serve (open) {
  const text = { type: 'string' }
  const { values } = parseArgs({ options: { dir: text, broker: text, 'client-id': text } })
  let queue
  const orders = {
    open (_, answer) {
      queue = open({ dir: values.dir, broker: values.broker, clientId: values['client-id'] })
      queue.ready(() => answer({ ok: true, pending: -1 }))
    },
    enqueue (order, answer) { enqueue(queue, order, answer) },
    pending (_, answer) { answer({ pending: -1 }) },
    close (_, answer) {
      queue.close(() => {
        process.stdout.write(JSON.stringify({ ok: true }) + '\n', () => process.exit(0))
      })
    }
  }
  const answer = a => process.stdout.write(JSON.stringify(a) + '\n')
  readline.createInterface({ input: process.stdin }).on('line', line => {
    try {
      const order = JSON.parse(line)
      if (!orders[order.do]) throw new Error('there is no order ' + order.do)
      if (!queue && order.do !== 'open') throw new Error('nothing is open')
      orders[order.do](order, answer)
    } catch (err) {
      answer({ error: err.message })
    }
  }).on('close', () => process.exit(1))
}

// enqueue lets the producers of an order publish.
function enqueue (queue, order, answer) {
  const next = Array.from({ length: order.producers }, (_, i) => order.first ? order.first[i] : 0)
  const times = []
  const began = performance.now()
  let handed = 0, stored = 0, failed = null, over = false
  const more = () => !failed && (!order.messages || handed < order.messages) &&
    (!order.seconds || performance.now() - began < order.seconds * 1000)
  const end = () => {
    if (over || (handed > stored && !failed)) return
    over = true
    clearInterval(watch)
    if (failed) return answer({ error: failed.message })
    times.sort((a, b) => a - b)
    const at = part => times.length ? times[Math.min(Math.floor(part * times.length), times.length - 1)] * 1000 : 0
    answer({ stored, seconds: (performance.now() - began) / 1000, next, p50_us: at(0.5), p99_us: at(0.99) })
  }
  // mqtt.js says nothing when it has no packet id left.
  let had = 0
  const watch = setInterval(() => {
    if (had === stored && !failed) failed = new Error('nothing is stored any more, without a word')
    had = stored
    if (failed) end()
  }, 5000)
  const open = new Array(order.producers).fill(0)
  const pump = producer => {
    while (open[producer] < order.window && more()) {
      const when = performance.now()
      open[producer]++
      handed++
      queue.publish(topic(producer), message(producer, next[producer]++), err => {
        open[producer]--
        if (err) failed = failed || err
        else {
          stored++
          if (times.length < 1e6) times.push(performance.now() - when)
        }
        // Not from within: a store that answers at once would never return.
        setImmediate(() => { pump(producer); if (!more()) end() })
      })
    }
  }
  for (let i = 0; i < order.producers; i++) pump(i)
  if (handed === 0) end()
}

module.exports = { serve }

// Makes the sample files beside it, with the programs that the old nodes were made of:
//
//	npm install --ignore-scripts nedb@1.8.0 mqtt-nedb-store@0.1.1 mqtt@2.18.8
//	node make.js DIRECTORY
//
// mqtt.js publishes to a broker that answers as it is told, and never again; what it has
// stored then is a sample. Damaged samples are made of whole ones.
'use strict'
const fs = require('fs'), net = require('net'), path = require('path')
const mqtt = require('mqtt'), packets = require('mqtt-packet'), stores = require('mqtt-nedb-store'), NeDB = require('nedb')

const out = path.resolve(process.argv[2] || '.')
const file = name => path.join(out, name)
const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))

// broker answers each PUBLISH with what decide says: puback, pubrec or nothing.
function broker (decide) {
  return new Promise(resolve => {
    const server = net.createServer(socket => {
      const parser = packets.parser()
      const send = p => socket.write(packets.generate(p))
      parser.on('packet', p => {
        if (p.cmd === 'connect') send({ cmd: 'connack', returnCode: 0, sessionPresent: false })
        if (p.cmd !== 'publish') return
        const answer = decide(p)
        if (answer) send({ cmd: answer, messageId: p.messageId })
      })
      socket.on('data', b => parser.parse(b))
      socket.on('error', () => {})
    })
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}

// sample stores what a client publishes, list of [topic, payload, options], as name.
async function sample (name, firstID, list, decide, settle) {
  const dir = fs.mkdtempSync(path.join(out, 'tmp-'))
  const server = await broker(decide)
  const manager = stores(dir)
  const client = mqtt.connect({ port: server.address().port, host: '127.0.0.1', outgoingStore: manager.outgoing, incomingStore: manager.incoming, clean: false, clientId: 'old' })
  client.nextId = firstID
  await new Promise(resolve => client.once('connect', resolve))
  for (const [topic, payload, options] of list) client.publish(topic, payload, options || { qos: 1 })
  await new Promise(resolve => {
    const look = () => fs.existsSync(path.join(dir, 'outgoing')) && settle(fs.readFileSync(path.join(dir, 'outgoing'), 'utf8')) ? resolve() : setTimeout(look, 50)
    look()
  })
  client.stream.destroy()
  client.end(true)
  server.close()
  fs.copyFileSync(path.join(dir, 'outgoing'), file(name))
  fs.rmSync(dir, { recursive: true })
}

// compacted is what NeDB makes of a file when it compacts it.
function compacted (from, to) {
  return new Promise((resolve, reject) => {
    fs.copyFileSync(file(from), file(to))
    const db = new NeDB({ filename: file(to) })
    db.loadDatabase(err => err ? reject(err) : resolve())
  })
}

// damage changes bytes of a file.
function damage (from, to, how) { fs.writeFileSync(file(to), how(fs.readFileSync(file(from)))) }

async function main () {
  const list = [
    ['sensors/1', 'first, acknowledged'],
    ['sensors/1', '21.5 °C "quoted"\n'],
    ['sensors/größe', all],
    ['sensors/2', 'done but for PUBCOMP', { qos: 2 }],
    ['sensors/2', 'never answered', { qos: 2 }],
    ['sensors/3', '', { qos: 1, retain: true }],
    ['sensors/3', Buffer.alloc(0)],
    ['sensors/4', 'at most once', { qos: 0 }],
    ['sensors/5', Buffer.from('text in a Buffer')]
  ]
  await sample('outgoing.db', 100, list,
    p => String(p.payload).startsWith('first') ? 'puback' : String(p.payload).startsWith('done') ? 'pubrec' : '',
    text => text.includes('$$deleted') && text.includes('pubrel') && text.includes('"messageId":108'))
  await compacted('outgoing.db', 'compacted.db')

  // Packet ids go round; NeDB sorts by them when it compacts.
  const round = Array.from({ length: 8 }, (_, i) => ['t', 'message ' + i])
  await sample('round.db', 65531, round, () => '', text => text.includes('message 7'))
  await compacted('round.db', 'round-compacted.db')

  // An id that is used again: the second message takes the place of the first.
  const db = new NeDB({ filename: file('reused.db'), autoload: true })
  const put = (id, packet) => new Promise(resolve => db.update({ _id: id }, { _id: id, packet }, { upsert: true }, resolve))
  await put(1, { cmd: 'publish', topic: 't', payload: 'replaced', qos: 1, messageId: 1, dup: false })
  await put(2, { cmd: 'publish', topic: 't', payload: 'sent twice', qos: 1, messageId: 2, dup: false })
  await put(1, { cmd: 'publish', topic: 't', payload: 'the new one', qos: 1, messageId: 1, dup: false })
  await put(2, { cmd: 'publish', topic: 't', payload: 'sent twice', qos: 1, messageId: 2, dup: true })
  await put(3, { cmd: 'subscribe', subscriptions: [{ topic: 'cmd/#', qos: 1 }], qos: 1, messageId: 3 })
  // As stores wrote that made JSON of a packet first.
  await put(4, JSON.parse(JSON.stringify({ cmd: 'publish', topic: 't', payload: Buffer.from([0, 255, 10]), qos: 1, messageId: 4, dup: false })))
  await new Promise(resolve => db.ensureIndex({ fieldName: 'packet.topic' }, resolve))

  // A bit of a topic's length, a cut tail, a zeroed page, and a file without line ends.
  damage('outgoing.db', 'damaged.db', b => {
    const lines = b.toString('latin1').split('\n')
    lines[2] = lines[2].replace('"payload"', '"pay\x00oad')
    return Buffer.from(lines.join('\n').slice(0, -60), 'latin1')
  })
  damage('outgoing.db', 'zeroed.db', b => b.fill(0, 300, 900))
}
main().catch(err => { console.error(err); process.exit(1) })

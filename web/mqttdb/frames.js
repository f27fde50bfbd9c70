// What a page and the runtime in the Worker say to each other, see wasm/bridge/doc.go.
const header = 9;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const Stored = 65, Result = 66, Failed = 67, Delivery = 68, Ended = 69, Status = 70;
export const Ack = 0, Again = 1, Never = 2;

// Records lie in slabs, for an array of its own costs more than what is in it.
const slabSize = 64 << 10;
let slab = new Uint8Array(0), slabView, slabAt = 0;

// record returns where the body of a new record lies: view is that of the whole slab.
function record(kind, number, size) {
  const length = header + size;
  if (slabAt + length > slab.length) {
    slab = new Uint8Array(Math.max(slabSize, length));
    slabView = new DataView(slab.buffer);
    slabAt = 0;
  }
  const from = slabAt, view = slabView;
  slabAt += length;
  slab[from] = kind;
  view.setUint32(from + 1, number, true);
  view.setUint32(from + 5, size, true);
  return { bytes: slab.subarray(from, from + length), view, at: from + header };
}

let topics = new Map(); // of late, as they are sent

function encodeTopic(topic) {
  let name = topics.get(topic);
  if (!name) {
    if (topics.size >= 100) topics = new Map();
    topics.set(topic, (name = encoder.encode(topic)));
  }
  return name;
}

export function publish(number, id, topic, payload, qos, retain) {
  const name = encodeTopic(topic);
  const { bytes, view, at } = record(1, number, 13 + name.length + payload.length);
  view.setUint32(at, id % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(id / 2 ** 32), true);
  view.setUint8(at + 8, qos | (retain ? 4 : 0));
  view.setUint32(at + 9, name.length, true);
  bytes.set(name, header + 13);
  bytes.set(payload, header + 13 + name.length);
  return bytes;
}

export function call(number, what) {
  const text = encoder.encode(JSON.stringify(what));
  const { bytes } = record(2, number, text.length);
  bytes.set(text, header);
  return bytes;
}

export function settle(subscription, delivery, answer) {
  const { bytes, view, at } = record(3, 0, 9);
  view.setUint32(at, subscription, true);
  view.setUint32(at + 4, delivery, true);
  view.setUint8(at + 8, answer);
  return bytes;
}

export function more(subscription, count) {
  const { bytes, view, at } = record(4, 0, 8);
  view.setUint32(at, subscription, true);
  view.setUint32(at + 4, count, true);
  return bytes;
}

// join makes one frame of records.
export function join(records) {
  if (records.length === 1) return records[0].slice();
  const frame = new Uint8Array(records.reduce((n, r) => n + r.length, 0));
  let at = 0;
  for (const r of records) {
    frame.set(r, at);
    at += r.length;
  }
  return frame;
}

// bytes is what a payload is sent as: text as UTF-8.
export function bytes(payload) {
  if (payload === undefined || payload === null) return new Uint8Array();
  if (typeof payload === 'string') return encoder.encode(payload);
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (ArrayBuffer.isView(payload)) return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  throw new TypeError('a payload is a string, an ArrayBuffer or a view of one');
}

// read yields the records of a frame from the runtime: {kind, number, …}.
export function* read(frame) {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  for (let at = 0; at < frame.length; ) {
    const kind = frame[at], number = view.getUint32(at + 1, true), size = view.getUint32(at + 5, true);
    const from = at + header;
    at = from + size;
    switch (kind) {
      case Stored:
        yield { kind, number, seq: Number(view.getBigUint64(from, true)) };
        break;
      case Delivery: {
        const flags = frame[from + 24], topic = view.getUint32(from + 25, true), payload = from + 29 + topic;
        yield {
          kind, number, delivery: view.getUint32(from, true), seq: Number(view.getBigUint64(from + 4, true)),
          accepted: new Date(Number(view.getBigInt64(from + 12, true))), attempt: view.getUint32(from + 20, true),
          qos: flags & 3, retain: (flags & 4) !== 0, redelivered: (flags & 8) !== 0,
          topic: decoder.decode(frame.subarray(from + 29, payload)), payload: frame.slice(payload, at),
        };
        break;
      }
      default:
        yield { kind, number, value: JSON.parse(decoder.decode(frame.subarray(from, at))) };
    }
  }
}

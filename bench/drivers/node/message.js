// The messages of package bench/protocol.
'use strict'

const size = 200

const table = Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n >>> 0
})

function crc (sum, bytes, from, to) {
  sum = ~sum
  for (let i = from; i < to; i++) sum = table[(sum ^ bytes[i]) & 255] ^ (sum >>> 8)
  return ~sum >>> 0
}

// message is a new one.
function message (producer, number) {
  const b = Buffer.allocUnsafe(size)
  b.writeUInt32LE(producer, 0)
  b.writeBigUInt64LE(BigInt(number), 4)
  for (let i = 16; i < size; i++) b[i] = (i + number) & 255
  b.writeUInt32LE(crc(crc(0, b, 0, 12), b, 16, size), 12)
  return b
}

const topic = producer => 'bench/' + producer % 100

module.exports = { message, topic }

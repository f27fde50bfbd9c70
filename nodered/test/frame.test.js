'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { test } = require('node:test');
const { encode, decode } = require('../lib/frame');

const dir = path.join(__dirname, '../../sidecar/testdata/frames');
const names = fs.readdirSync(dir).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));

test('there are golden frames', () => assert.ok(names.length >= 20));

for (const name of names) {
    const want = JSON.parse(fs.readFileSync(path.join(dir, `${name}.json`)));
    const bytes = fs.readFileSync(path.join(dir, `${name}.bin`));
    const payload = Buffer.from(want.payload || '', 'base64');

    test(`${name} is decoded`, () => {
        const { type, flags, seq, header, payload: got } = decode(bytes);
        assert.deepStrictEqual({ type, flags, seq, header }, { type: want.type, flags: want.flags, seq: want.seq, header: want.header || {} });
        assert.deepStrictEqual(Buffer.from(got), payload);
    });
    test(`${name} is encoded to the same bytes`, () => {
        const header = want.text ? JSON.parse(want.text) : undefined;
        assert.deepStrictEqual(encode({ type: want.type, flags: want.flags, seq: want.seq, header, payload }), bytes);
    });
}

for (const [name, bytes] of [
    ['too short', Buffer.alloc(11)],
    ['a header beyond the end', Buffer.from('0100000500000000000000007b7d', 'hex')],
    ['a header that is no JSON', Buffer.from('01000002000000000000000078780000', 'hex')],
    ['a header that is a list', Buffer.from('0100000200000000000000005b5d', 'hex')],
]) test(`no frame: ${name}`, () => assert.throws(() => decode(bytes)));

test('a seq above 2^32', () => assert.strictEqual(decode(encode({ type: 8, seq: 2 ** 40 + 7 })).seq, 2 ** 40 + 7));

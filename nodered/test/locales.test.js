'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { test } = require('node:test');

const dir = path.join(__dirname, '../locales');

// The texts of a locale: key -> the values that are put into it.
function texts(locale) {
    const out = {};
    const walk = (from, key) => {
        if (typeof from === 'string') out[key] = (from.match(/__\w+__/g) || []).sort().join();
        else for (const [name, value] of Object.entries(from)) walk(value, key ? `${key}.${name}` : name);
    };
    walk(JSON.parse(fs.readFileSync(path.join(dir, locale, 'mqttdb.json'))), '');
    return out;
}

const english = texts('en-US');

for (const locale of fs.readdirSync(dir)) test(`${locale} has the keys of en-US`, () => assert.deepStrictEqual(texts(locale), english));

test('every text that the dialogs name is there', () => {
    const html = fs.readFileSync(path.join(__dirname, '../mqttdb.html'), 'utf8');
    const used = [...html.matchAll(/data-i18n="(?:\[placeholder\])?([^"]+)"/g)].map((match) => match[1]);
    assert.ok(used.length > 40);
    assert.deepStrictEqual(used.filter((key) => !(key in english)), []);
});

for (const locale of fs.readdirSync(dir)) test(`${locale} has help for each node`, () => {
    const html = fs.readFileSync(path.join(dir, locale, 'mqttdb.html'), 'utf8');
    assert.deepStrictEqual([...html.matchAll(/data-help-name="([^"]+)"/g)].map((match) => match[1]), ['mqttdb in', 'mqttdb out', 'mqttdb-broker']);
});

'use strict';

const fs = require('fs');
const path = require('path');

const name = process.platform === 'win32' ? 'mqttdb.exe' : 'mqttdb';

/** The npm package that has the binary for this machine. */
const platformPackage = `@mqttdb/node-red-${process.platform}-${process.arch}`;

/**
 * Finds the native mqttdb: settings.mqttdb.bin or MQTTDB_BIN, else the platform package, else PATH.
 * @param {{bin?: string, env?: object}} options
 * @returns {string} its path
 * @throws Error whose message tells a user what to do
 */
function findBinary({ bin, env = process.env } = {}) {
    const named = bin || env.MQTTDB_BIN;
    if (named) return executable(named);
    try {
        return executable(path.join(path.dirname(require.resolve(`${platformPackage}/package.json`)), 'bin', name));
    } catch (err) {
        if (err.code !== 'MODULE_NOT_FOUND' && err.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw err;
    }
    for (const dir of (env.PATH || '').split(path.delimiter)) {
        const file = path.join(dir, name);
        if (dir && fs.existsSync(file)) return executable(file);
    }
    throw new Error(`the mqttdb program for ${process.platform} ${process.arch} is not there: install ${platformPackage}, or put mqttdb in PATH, or name it in MQTTDB_BIN`);
}

function executable(file) {
    try {
        fs.accessSync(file, fs.constants.X_OK);
    } catch (err) {
        const what = err.code === 'ENOENT' ? 'is not there' : 'may not be executed: chmod +x it, and look whether its file system is mounted noexec';
        throw new Error(`the mqttdb program ${file} ${what}`);
    }
    return file;
}

module.exports = { findBinary, platformPackage };

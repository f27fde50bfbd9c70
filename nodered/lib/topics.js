'use strict';

/** @returns {boolean} whether text may be subscribed to, as core's node has it */
function isFilter(text) {
    if (typeof text !== 'string' || text.length === 0) return false;
    const levels = text.split('/');
    return levels.every((level, i) => level === '+' || (level === '#' && i === levels.length - 1) || !/[+#]/.test(level));
}

/** @returns {boolean} whether text may be published to */
function isTopic(text) {
    return typeof text === 'string' && text.length > 0 && !/[+#\b\f\n\r\t\v\0]/.test(text);
}

module.exports = { isFilter, isTopic };

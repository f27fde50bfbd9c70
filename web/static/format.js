// Numbers and times as they are read.

const whole = new Intl.NumberFormat('en');

export const count = (n) => whole.format(n);
export const plural = (n, one) => `${count(n)} ${one}${n === 1 ? '' : 's'}`;

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

/** A duration of ms milliseconds in its two largest units. */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** A rate per second. */
export const rate = (n) => (n >= 100 ? count(Math.round(n)) : n >= 10 ? n.toFixed(0) : n > 0 && n < 0.05 ? '<0.1' : n.toFixed(n ? 1 : 0));

export const clock = (time) => new Date(time).toLocaleTimeString('en-GB');
export const date = (time) => new Date(time).toLocaleString('sv-SE');

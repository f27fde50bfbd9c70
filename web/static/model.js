// What the page knows: the latest status of each connection, and samples of the last
// hour. Nothing here touches the document.

const hour = 3_600_000;
const spans = [2, 5, 15, 60].map((minutes) => minutes * 60_000); // that a plot shows
const resolution = 2_000; // between samples that the page takes itself
const window_ = 8_000; // over which a present rate is taken

export class Model {
  connections = new Map(); // name: status, orphans too
  order = [];
  samples = new Map(); // name: [[ms, pending, accepted, sent], …]
  #recent = new Map(); // name: the same, of the last seconds

  /** Takes hello; what is not in it is gone. */
  hello(m) {
    this.connections.clear();
    for (const status of [...m.connections, ...(m.orphans ?? [])]) if (status.name) this.#put(status, m.at);
    this.order = [...new Set([...(m.order ?? []), ...this.connections.keys()])].filter((name) => this.connections.has(name));
  }

  status(m) {
    for (const status of m.connections) {
      if (!this.connections.has(status.name)) this.order.push(status.name);
      this.#put(status, m.at);
    }
  }

  gone(names) {
    for (const name of names) {
      this.connections.delete(name);
      this.samples.delete(name);
      this.#recent.delete(name);
    }
    this.order = this.order.filter((name) => this.connections.has(name));
  }

  /** Puts what the gateway remembers where nothing was sampled here: before, and while there was no contact. */
  history({ step_ms, connections }) {
    for (const [name, h] of Object.entries(connections)) {
      const own = this.samples.get(name) ?? [];
      const all = [];
      let next = 0;
      h.pending.forEach((pending, i) => {
        const at = h.first_ms + i * step_ms;
        while (next < own.length && own[next][0] <= at) all.push(own[next++]);
        const near = (sample) => sample && Math.abs(sample[0] - at) < step_ms;
        if (pending != null && !near(own[next - 1]) && !near(own[next])) all.push([at, pending, h.accepted[i], h.sent[i]]);
      });
      this.samples.set(name, [...all, ...own.slice(next)]);
    }
  }

  #put(status, at) {
    this.connections.set(status.name, status);
    this.#sample(status, at);
  }

  /** Samples all connections at present, also those of which nothing new is heard. */
  tick(at) {
    for (const status of this.connections.values()) this.#sample(status, at);
  }

  #sample({ name, outgoing: q }, at) {
    const sample = [at, q.pending, q.accepted, q.sent];
    const recent = this.#recent.get(name) ?? [];
    if (recent.length && recent.at(-1)[0] >= at) recent.pop();
    recent.push(sample);
    while (recent.length > 2 && recent[1][0] < at - window_) recent.shift();
    this.#recent.set(name, recent);
    const kept = this.samples.get(name) ?? [];
    if (!kept.length || at - kept.at(-1)[0] >= resolution) kept.push(sample);
    let old = 0;
    while (kept[old][0] < at - hour) old++;
    if (old > 100) kept.splice(0, old); // not one by one
    this.samples.set(name, kept);
  }

  /** Messages per second that come in and go out at present. */
  rates(name) {
    const recent = this.#recent.get(name) ?? [];
    if (recent.length < 2) return { in: 0, out: 0 };
    const [from, to] = [recent[0], recent.at(-1)];
    const s = Math.max(0.5, (to[0] - from[0]) / 1000);
    return { in: Math.max(0, to[2] - from[2]) / s, out: Math.max(0, to[3] - from[3]) / s };
  }

  /** How much of the last hour a plot of one connection, or of all (''), shows, in ms: no more than there is to see. */
  span(name, now) {
    const first = Math.min(now, ...(name ? [name] : [...this.connections.keys()]).map((each) => this.samples.get(each)?.[0]?.[0] ?? now));
    return spans.find((span) => now - first <= span) ?? hour;
  }

  /** Columns for a plot of one connection, or of all ('') together: times in s, pending, rates in and out. */
  series(name, now) {
    const span = this.span(name, now);
    const step = name || span < hour ? resolution : 2 * resolution;
    const slots = Math.floor(span / step);
    const first = Math.ceil((now - span) / step) + 1; // the last one has what is now
    const sums = [0, 1, 2].map(() => new Array(slots).fill(null));
    for (const each of name ? [name] : this.connections.keys()) {
      const list = this.samples.get(each) ?? [];
      for (let i = 0, slot = 0; slot < slots && list.length; slot++) {
        const at = (first + slot) * step;
        while (i + 1 < list.length && list[i + 1][0] <= at) i++;
        if (list[i][0] > at || at - list[i][0] > 30_000) continue;
        sums.forEach((sum, k) => (sum[slot] = (sum[slot] ?? 0) + list[i][k + 1]));
      }
    }
    const per = (sum) => sum.map((v, i) => {
      const back = Math.max(0, i - Math.ceil(10_000 / step));
      return v == null || sum[back] == null || back === i ? null : Math.max(0, v - sum[back]) / (((i - back) * step) / 1000);
    });
    return [Array.from({ length: slots }, (_, i) => ((first + i) * step) / 1000), sums[0], per(sums[1]), per(sums[2])];
  }
}

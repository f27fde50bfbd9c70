import { count, rate } from './format.js';

const { uPlot } = window; // a classic script, loaded before: only that is given out small

/** The two plots of the last hour; they follow their width and the colour scheme. */
export class Plots {
  #pending = document.getElementById('plot-pending');
  #rates = document.getElementById('plot-rates');
  #plots = [];

  constructor() {
    this.#make();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#make());
    new ResizeObserver(() => {
      for (const plot of this.#plots) plot.setSize({ width: plot.root.parentElement.clientWidth, height: 120 });
    }).observe(this.#pending);
  }

  /** Shows what Model.series returned. */
  show([times, pending, into, out]) {
    this.#plots[0].setData([times, pending]);
    this.#plots[1].setData([times, into, out]);
    const last = pending.findLast((v) => v != null) ?? 0;
    this.#pending.dataset.last = last;
    this.#pending.setAttribute('aria-label', `Messages pending over the last hour, at present ${count(last)}`);
    this.#rates.setAttribute('aria-label', `Messages per second over the last hour, at present ${rate(into.at(-1) ?? 0)} in and ${rate(out.at(-1) ?? 0)} out`);
  }

  #make() {
    const data = this.#plots.map((plot) => plot.data);
    for (const plot of this.#plots) plot.destroy();
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    const plot = (element, series, empty) => new uPlot({
      width: element.clientWidth || 300, height: 120, legend: { show: false }, cursor: { y: false },
      axes: [{ ...axis, size: 26, space: (_, __, from, to) => (to - from < 150 ? 64 : 44), // seconds are longer
         values: (_, list) => list.map((s) => new Date(s * 1000).toLocaleTimeString('en-GB', { timeStyle: list[1] - list[0] < 60 ? 'medium' : 'short' })) },
        { ...axis, size: 52, values: (_, list) => list.map((v) => Intl.NumberFormat('en', { notation: 'compact' }).format(v)) }],
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.1] } },
      series: [{}, ...series],
    }, empty, element);
    const line = (name) => ({ stroke: colour(name), width: 1.75, points: { show: false } });
    this.#plots = [
      plot(this.#pending, [{ ...line('accent'), fill: colour('accent-soft') }], data[0] ?? [[], []]),
      plot(this.#rates, [line('in'), line('out')], data[1] ?? [[], [], []]),
    ];
  }
}

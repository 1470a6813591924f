/** A plot of lines over time, drawn by uPlot, that can be taken along as PNG and CSV. */

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import { themeChanged } from '../theme.js';

/** One line of a plot. */
export interface PlotLine {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** The CSS variable of its colour. */
  readonly colour: string;
}

interface PlotProps {
  readonly title: string;
  /** Unix seconds. */
  readonly times: readonly number[];
  readonly lines: readonly PlotLine[];
  /** Writes a value of the axis. */
  readonly write: (value: number) => string;
  /** Values at which the plot turns yellow and red. */
  readonly bounds?: { warning: number; critical: number };
  readonly height?: number;
}

const colourOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim() || '#888';

function options({ lines, write, bounds, height = 150 }: PlotProps, width: number): uPlot.Options {
  const [text, grid] = [colourOf('--faint'), colourOf('--line')];
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: '11px system-ui' };
  return {
    width,
    height,
    legend: { show: true, live: true },
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_plot, _least, most) => [0, Math.max(most ?? 0, bounds?.warning ?? 0, 1e-9) * 1.1] } },
    axes: [axis, { ...axis, size: 58, values: (_plot, splits) => splits.map(write) }],
    series: [
      { value: (_plot, at) => (at === null || at === undefined ? '–' : new Date(at * 1000).toLocaleTimeString()) },
      ...lines.map(({ label, colour }) => ({
        label,
        stroke: colourOf(colour),
        width: 1.5,
        points: { show: lines[0]?.values.filter((value) => value !== null).length === 1 },
        value: (_plot: uPlot, value: number | null) => (value === null || value === undefined ? '–' : write(value)),
      })),
    ],
    hooks: bounds ? { drawClear: [(plot) => drawBounds(plot, bounds)] } : {},
  };
}

/** Colours what lies above the bounds, behind the lines. */
function drawBounds(plot: uPlot, { warning, critical }: { warning: number; critical: number }): void {
  const { left, top, width, height } = plot.bbox;
  const place = (value: number) => Math.min(top + height, Math.max(top, plot.valToPos(value, 'y', true)));
  const fill = (colour: string, from: number, to: number) => {
    plot.ctx.fillStyle = colourOf(colour);
    plot.ctx.fillRect(left, from, width, Math.max(0, to - from));
  };
  plot.ctx.save();
  fill('--critical-wash', top, place(critical));
  fill('--warning-wash', place(critical), place(warning));
  plot.ctx.restore();
}

/** Draws a plot; follows its width, its data and the theme. */
export function Plot(props: PlotProps) {
  const { title, times, lines } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = `${lines.map(({ label, colour }) => `${label} ${colour}`).join()} ${JSON.stringify(props.bounds)}`;
  const isEmpty = lines.every(({ values }) => values.every((value) => value === null));
  const table = () => [[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;

  useEffect(() => {
    const at = box.current;
    if (!at) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(props, at.clientWidth || 300), table(), at);
      // uPlot knows no roles: its canvas is a picture, and the table of its legend has only words that the picture has.
      plot.current.root.querySelector('canvas')?.setAttribute('aria-hidden', 'true');
    };
    draw();
    const wider = new ResizeObserver(() => {
      const width = at.clientWidth;
      if (width && plot.current && plot.current.width !== width) plot.current.setSize({ width, height: props.height ?? 150 });
    });
    wider.observe(at);
    const system = matchMedia('(prefers-color-scheme: dark)');
    addEventListener(themeChanged, draw);
    system.addEventListener('change', draw);
    return () => {
      wider.disconnect();
      removeEventListener(themeChanged, draw);
      system.removeEventListener('change', draw);
      plot.current?.destroy();
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(table()), [times, lines]);

  return (
    <figure class="plot" aria-label={title}>
      <figcaption>
        <span>{title}</span>
        <span class="end">
          <button type="button" class="quiet small" onClick={() => plot.current && savePng(plot.current, title)}>PNG</button>
          <button type="button" class="quiet small" onClick={() => save(new Blob([csvOf(times, lines)], { type: 'text/csv' }), `${title}.csv`)}>CSV</button>
        </span>
      </figcaption>
      {isEmpty && <p class="faint">Nothing was counted in this time.</p>}
      <div ref={box} class={isEmpty ? 'is-empty' : ''} />
    </figure>
  );
}

/** Writes a plot as CSV: a row a bucket of time, a column a line. */
export function csvOf(times: readonly number[], lines: readonly PlotLine[]): string {
  // A cell that begins like a formula is one to a spreadsheet.
  const cell = (text: string) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const head = ['time', ...lines.map(({ label }) => label)].map(cell).join(',');
  const rows = times.map((time, at) => [new Date(time * 1000).toISOString(), ...lines.map(({ values }) => values[at] ?? '')].join(','));
  return `${[head, ...rows].join('\n')}\n`;
}

/** Draws the canvas on the page's colour, so that the picture is readable outside of the page. */
function savePng(plot: uPlot, title: string): void {
  const from = plot.ctx.canvas;
  const to = document.createElement('canvas');
  [to.width, to.height] = [from.width, from.height];
  const context = to.getContext('2d');
  if (!context) return;
  context.fillStyle = colourOf('--page');
  context.fillRect(0, 0, to.width, to.height);
  context.drawImage(from, 0, 0);
  to.toBlob((blob) => blob && save(blob, `${title}.png`));
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name.replaceAll(/[^\w.\- ]+/g, '_');
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

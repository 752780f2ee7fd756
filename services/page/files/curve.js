// The loss on the fixed batch as a curve, with the moment of stopping marked.

import { html } from "/page/vendor/htm-preact.js";

const WIDTH = 300;
const HEIGHT = 160;
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 10, 22, 26];

export function Curve({ points, maxSteps, stopped, name }) {
  const known = points.filter((point) => point.loss != null);
  if (known.length < 2) return html`<p class="hint">The curve appears once the loss has been measured twice.</p>`;
  const losses = known.map((point) => point.loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const last = known.at(-1);
  const end = stopped ? last.step : Math.max(maxSteps || 0, last.step);
  const across = (step) => LEFT + (step / Math.max(1, end)) * (WIDTH - LEFT - RIGHT);
  const down = (loss) => TOP + ((high - loss) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const line = known.map((point) => `${across(point.step).toFixed(1)},${down(point.loss).toFixed(1)}`).join(" ");
  const said = `Loss of ${name} on its fixed batch: from ${losses[0].toFixed(4)} to ${last.loss.toFixed(4)} in ${last.step} steps`;
  return html`<svg class="curve" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${said}>
    <path class="axis" d=${`M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`} />
    <polyline class="line" points=${line} />
    <text x=${LEFT - 6} y=${TOP + 4} text-anchor="end">${high.toFixed(3)}</text>
    <text x=${LEFT - 6} y=${HEIGHT - BOTTOM} text-anchor="end">${low.toFixed(3)}</text>
    <text x=${LEFT} y=${HEIGHT - 8}>step 0</text>
    <text x=${WIDTH - RIGHT} y=${HEIGHT - 8} text-anchor="end">step ${end}</text>
    ${stopped && html`<g class="stop"><path d=${`M${across(last.step)} ${TOP}V${HEIGHT - BOTTOM}`} /><text x=${across(last.step) - 6} y=${TOP - 8} text-anchor="end">stopped at step ${last.step}</text></g>`}
    <circle class="dot" cx=${across(last.step)} cy=${down(last.loss)} r="4" />
  </svg>`;
}

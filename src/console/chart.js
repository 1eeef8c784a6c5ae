// Charts over time as SVG: one or two lines, times below, amounts beside. What they show is also said in words.
import { html, useId } from "./view.js";
import { localHour } from "./format.js";

const W = 340, H = 160, left = 52, right = 6, top = 10, bottom = 24;

// A round number that nothing is above.
function ceiling(value) {
  const size = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value) || 10 * size;
}

/**
 * `times`: when each place begins. `lines`: `{ label, values }`, null where there is nothing. `show` writes an amount.
 * `since`: before this time there was nothing to count.
 */
export function Chart({ title, times, lines, show = String, since, summary }) {
  const id = useId();
  const most = ceiling(Math.max(1, ...lines.flatMap((line) => line.values.filter((value) => value !== null))));
  const x = (place) => left + (place / Math.max(1, times.length - 1)) * (W - left - right);
  const y = (value) => top + (1 - value / most) * (H - top - bottom);
  const path = (values) => {
    let text = "", drawing = false;
    values.forEach((value, place) => {
      if (value === null) { drawing = false; return; }
      text += `${drawing ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
      // A point alone would not be seen.
      if (!drawing && (values[place + 1] === null || values[place + 1] === undefined)) text += "m-1 0h2";
      drawing = true;
    });
    return text;
  };
  const begun = since ? times.findIndex((time) => Date.parse(time) >= Date.parse(since)) : 0;
  const off = begun === -1 ? times.length - 1 : begun;
  const marks = [0, 1, 2].map((mark) => Math.round((mark / 2) * (times.length - 1)));
  const area = lines.length === 1 && lines[0].values.every((value) => value !== null);
  return html`<figure class="chartbox"><figcaption id=${id}><strong>${title}</strong> <span class="quiet">${summary}</span></figcaption>
    <svg class="chart" viewBox=${`0 0 ${W} ${H}`} role="img" aria-labelledby=${id}>
      ${off > 0 && html`<rect class="off" x=${left} y=${top} width=${x(off) - left} height=${H - top - bottom}><title>The server was not running</title></rect>`}
      ${[0, 0.5, 1].map((part) => html`<line class="grid" x1=${left} x2=${W - right} y1=${y(part * most)} y2=${y(part * most)} /><text x=${left - 8} y=${y(part * most) + 4} text-anchor="end">${show(part * most)}</text>`)}
      ${marks.map((place, mark) => html`<text x=${x(place)} y=${H - 6} text-anchor=${mark === 0 ? "start" : mark === 2 ? "end" : "middle"}>${localHour(times[place])}</text>`)}
      ${area && html`<path class="fill" d=${`${path(lines[0].values)}L${x(times.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z`} />`}
      ${lines.map((line, place) => html`<path class=${place ? "b" : "a"} d=${path(line.values)} />`)}
      ${times.map((time, place) => html`<rect x=${x(place) - 3} y=${top} width="6" height=${H - top - bottom} fill="transparent"><title>${localHour(time)}: ${lines.map((line) => `${line.label} ${line.values[place] === null ? "–" : show(line.values[place])}`).join(", ")}</title></rect>`)}
    </svg>
    ${lines.length > 1 && html`<p class="legend">${lines.map((line, place) => html`<span><i class=${place ? "b" : "a"}></i>${line.label}</span>`)}</p>`}</figure>`;
}

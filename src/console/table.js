// Tables: sorted, filtered, in pages, exported as CSV. `Table` has all rows; `Listing` asks the server page by page.
import { html, useEffect, useMemo, useState } from "./view.js";
import { all, at, get } from "./api.js";
import { Icon } from "./icons.js";
import { Busy, Empty, ProblemBox } from "./ui.js";
import { csv, download, fileName, number } from "./format.js";

const compare = (a, b) => {
  if (a === b) return 0;
  if (a === null || a === undefined || a === "") return 1;
  if (b === null || b === undefined || b === "") return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
};

/**
 * `columns`: `{ id, label, text(row), show?(row), end?, only? }`. `text` sorts, filters and is exported; `show` is what one sees;
 * `end` aligns numbers; `only: "csv"` is exported only, `only: "page"` shown only.
 * `whole` loads what is exported where `rows` are not everything; `pager` stands where the own one would.
 */
export function Table({ name, rows, columns, sort: first, empty, size = 25, whole, pager, filter = true, keyed = "id" }) {
  const [sort, setSort] = useState(first || null);
  const [words, setWords] = useState("");
  const [page, setPage] = useState(0);
  const [exporting, setExporting] = useState(null);
  const shown = columns.filter((column) => column.only !== "csv");
  const kept = useMemo(() => {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => {
      const text = columns.map((column) => column.text?.(row) ?? "").join(" ").toLowerCase();
      return wanted.every((word) => text.includes(word));
    };
    const found = wanted.length ? rows.filter(fits) : [...rows];
    const by = sort && columns.find((column) => column.id === sort[0]);
    if (by) found.sort((a, b) => compare(by.text(a), by.text(b)) * (sort[1] === "down" ? -1 : 1));
    return found;
  }, [rows, words, sort, columns.length]);
  useEffect(() => setPage(0), [words, rows.length]);
  const last = Math.max(0, Math.ceil(kept.length / size) - 1);
  const now = Math.min(page, last);
  const visible = pager ? kept : kept.slice(now * size, (now + 1) * size);
  const order = (column) => (sort && sort[0] === column.id ? sort[1] : null);
  const turn = (column) => setSort(order(column) === "up" ? [column.id, "down"] : [column.id, "up"]);
  const give = async () => {
    setExporting(0);
    try {
      const given = whole ? await whole(setExporting) : kept;
      const told = columns.filter((column) => column.text && column.only !== "page");
      download(`${fileName("keystead", name)}.csv`, csv(told.map((column) => column.label), given.map((row) => told.map((column) => column.text(row)))), "text/csv");
    } finally { setExporting(null); }
  };
  if (rows.length === 0 && !pager) return empty || html`<${Empty} title="Nothing here yet" />`;
  return html`<div class="tablebox">
    <div class="tools">
      ${filter && html`<label class="find"><${Icon} name="search" /><span class="hidden">Filter: ${name}</span><input type="search" placeholder=${pager ? "Filter this page" : "Filter"} value=${words} onInput=${(event) => setWords(event.target.value)} /></label>`}
      <span class="quiet" role="status">${words ? `${number(kept.length)} of ${number(rows.length)}` : ""}</span>
      <button type="button" class="small secondary outline" disabled=${exporting !== null} onClick=${give}><${Icon} name="download" />${exporting === null ? "Export CSV" : `${number(exporting)} so far…`}</button>
    </div>
    <table role="table" aria-label=${name}>
      <thead role="rowgroup"><tr role="row">${shown.map((column) => html`<th role="columnheader" scope="col" class=${column.end ? "end" : ""} aria-sort=${{ up: "ascending", down: "descending" }[order(column)]}>
        ${column.text ? html`<button type="button" class="sort" onClick=${() => turn(column)}>${column.label}${order(column) && html`<${Icon} name=${order(column)} />`}</button>` : html`<span class=${column.label ? "" : "hidden"}>${column.label || "Actions"}</span>`}</th>`)}</tr></thead>
      <tbody role="rowgroup">${visible.map((row) => html`<tr role="row" key=${row[keyed]}>${shown.map((column, place) => html`<td role="cell" class=${`${column.end ? "end" : ""}${place === 0 ? " first" : ""}`} data-label=${column.label}><div>${column.show ? column.show(row) : column.text(row)}</div></td>`)}</tr>`)}
      </tbody>
    </table>
    ${visible.length === 0 && html`<p class="quiet none">Nothing fits.</p>`}
    ${pager || (kept.length > size && html`<${Pager} text=${`${number(now * size + 1)}–${number(Math.min(kept.length, (now + 1) * size))} of ${number(kept.length)}`}
      back=${now > 0 && (() => setPage(now - 1))} on=${now < last && (() => setPage(now + 1))} />`)}</div>`;
}

const Pager = ({ text, back, on }) => html`<nav class="pager" aria-label="Pages"><span class="quiet" role="status">${text}</span>
  <button type="button" class="small secondary outline" disabled=${!back} onClick=${back || undefined}>Previous</button>
  <button type="button" class="small secondary outline" disabled=${!on} onClick=${on || undefined}>Next</button></nav>`;

// A search looks at so much at a time; a page that is not full is filled up by asking on, for a while.
async function fill(path, query, page, size, signal) {
  const items = [];
  let asked = 0;
  do {
    const found = await get(at(path, { ...query, limit: size - items.length, page }), signal);
    items.push(...found.items);
    page = found.next_page;
    asked += 1;
  } while (page && items.length < size && asked < 8);
  return { items, next: page };
}

/** A list that the server holds: `path` and `query` of it. `turn` in `deps` loads it again. */
export function Listing({ name, path, query = {}, columns, empty, size = 50, deps = [], keyed, most = 100000, map = (items) => items }) {
  const asked = JSON.stringify([path, query, ...deps]);
  const [place, setPlace] = useState({ asked, before: [undefined] });
  const [state, set] = useState({});
  const before = place.asked === asked ? place.before : [undefined];
  const setBefore = (before) => setPlace({ asked, before });
  useEffect(() => {
    const stop = new AbortController();
    set((old) => ({ ...old, loading: true, problem: undefined }));
    fill(path, query, before.at(-1), size, stop.signal)
      .then((found) => set({ found }), (problem) => { if (!stop.signal.aborted) set({ problem }); });
    return () => stop.abort();
  }, [asked, place, before.length]);
  if (state.problem) return html`<${ProblemBox} problem=${state.problem} retry=${() => setBefore([...before])} />`;
  if (!state.found) return html`<${Busy} />`;
  const { items, next } = state.found;
  const page = before.length;
  if (items.length === 0 && !next && page === 1) return empty || html`<${Empty} title="Nothing fits" />`;
  const text = next && items.length < size ? `Page ${page}: ${number(items.length)} found so far, there is more to look through` : `Page ${page}`;
  const pager = html`<${Pager} text=${text} back=${page > 1 && (() => setBefore(before.slice(0, -1)))} on=${next && (() => setBefore([...before, next]))} />`;
  const whole = async (progress) => map(await all(path, query, { most, progress }));
  return html`<div class=${state.loading ? "waits" : ""} aria-busy=${state.loading ? "true" : undefined}>
    <${Table} name=${name} rows=${map(items)} columns=${columns} pager=${page > 1 || next ? pager : html`<span />`} whole=${whole} keyed=${keyed} /></div>`;
}

// The parts that pages are made of.
import { html, useEffect, useId, useRef, useState } from "./view.js";
import { Icon } from "./icons.js";
import { href } from "./route.js";
import { download, local, localDate, localExact, relative, short, utc } from "./format.js";

// --- Loading, and doing. ---

// Somebody who has not touched the page for so long is away: nothing is asked for on their behalf, so that the session ends.
const AWAY = 10 * 60 * 1000;
let active = Date.now();
for (const sign of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
  addEventListener(sign, () => { active = Date.now(); }, { passive: true });
}
export const isThere = () => !document.hidden && Date.now() - active < AWAY;

/** Loads something when the page opens, when `deps` change, and by `reload()`. With `every`, again after so many milliseconds. */
export function useLoad(load, deps = [], every = 0) {
  const [state, set] = useState({ loading: true });
  const [turn, again] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let timer;
    const once = async () => {
      try {
        const data = await load(stop.signal);
        if (!stop.signal.aborted) set({ data, at: Date.now() });
      } catch (problem) {
        if (!stop.signal.aborted) set((old) => ({ data: old.data, at: old.at, problem }));
      }
    };
    const later = () => { timer = setTimeout(async () => { if (isThere()) await once(); if (!stop.signal.aborted) later(); }, every); };
    set((old) => ({ ...old, loading: true }));
    once().then(() => { if (every && !stop.signal.aborted) later(); });
    return () => { stop.abort(); clearTimeout(timer); };
  }, [...deps, turn]);
  return { ...state, reload: () => again((turn) => turn + 1), put: (data) => set({ data, at: Date.now() }) };
}

/** What a button does: `busy` while it is under way, `problem` where it failed. `work` gets an idempotency key first. */
export function useAct(work) {
  const [state, set] = useState({});
  const key = useRef(null);
  const act = async (...given) => {
    key.current ||= crypto.randomUUID();
    set({ busy: true });
    try {
      const done = await work(key.current, ...given);
      key.current = null;
      set({});
      return done;
    } catch (problem) {
      // Where the answer was lost the same key makes sure that it is done once.
      if (problem.code !== "unreachable") key.current = null;
      set({ problem });
      return undefined;
    }
  };
  return { ...state, act, clear: () => set({}) };
}

/** The time now, again and again. */
export function useNow(every = 1000) {
  const [now, set] = useState(Date.now());
  useEffect(() => { const timer = setInterval(() => set(Date.now()), every); return () => clearInterval(timer); }, [every]);
  return now;
}

// --- Telling. ---

let listeners = [];
/** Says something at the edge of the page, and to screen readers. */
export const say = (text) => listeners.forEach((listener) => listener(text));
export function Said() {
  const [said, set] = useState([]);
  useEffect(() => {
    const listener = (text) => {
      const one = { text };
      set((all) => [...all, one]);
      setTimeout(() => set((all) => all.filter((other) => other !== one)), 6000);
    };
    listeners.push(listener);
    return () => { listeners = listeners.filter((other) => other !== listener); };
  }, []);
  return html`<div class="said" role="status" aria-live="polite">${said.map(({ text }) => html`<p><${Icon} name="check" />${text}</p>`)}</div>`;
}

export function ProblemBox({ problem, retry }) {
  if (!problem) return null;
  return html`<div class="notice bad" role="alert">
    <${Icon} name="bad" />
    <div><strong>${problem.title || "Something went wrong"}</strong>
      <p>${sentence(problem.detail || problem.message)}</p>
      ${problem.correlation && html`<p class="quiet">Reference for the server's log: <code>${problem.correlation}</code></p>`}
      ${retry && html`<button type="button" class="small secondary outline" onClick=${retry}>Try again</button>`}</div></div>`;
}
const sentence = (text = "") => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".") : "");

export const Notice = ({ kind = "info", title, children }) => html`<div class="notice ${kind}"><${Icon} name=${kind === "good" ? "check" : kind} />
  <div>${title && html`<strong>${title}</strong>`}<div>${children}</div></div></div>`;

export const Busy = ({ children = "Loading…" }) => html`<p class="busy" aria-busy="true">${children}</p>`;

/** What `useLoad` found, by a function that shows it; until then that it loads, or why it does not. */
export function Loaded({ of, children }) {
  if (of.data === undefined) return of.problem ? html`<${ProblemBox} problem=${of.problem} retry=${of.reload} />` : html`<${Busy} />`;
  return html`${of.problem && html`<${ProblemBox} problem=${of.problem} retry=${of.reload} />`}${children(of.data)}`;
}

/** An empty place, and what to do first. */
export const Empty = ({ title, children, action }) => html`<div class="empty"><p class="title">${title}</p><p>${children}</p>${action}</div>`;

// --- Showing. ---

let navigated = false;
addEventListener("hashchange", () => { navigated = true; });

/** A page: its title, which gets the focus when one comes here, and what belongs beside it. */
export function Page({ title, kind, lead, badge, actions, up, children }) {
  const heading = useRef();
  useEffect(() => { document.title = `${title} · Keystead`; }, [title]);
  useEffect(() => { if (navigated) heading.current?.focus(); }, []);
  return html`<div class="page">
    ${up && html`<nav class="up" aria-label="Breadcrumb"><a href=${href(up[0])}>${up[1]}</a></nav>`}
    <header class="head"><div>
      <h1 ref=${heading} tabindex="-1">${kind && html`<small>${kind} </small>`}<bdi>${title}</bdi> ${badge}</h1>
      ${lead && html`<p class="lead">${lead}</p>`}</div>
      ${actions && html`<div class="actions">${actions}</div>`}</header>
    ${children}</div>`;
}

export const Card = ({ title, action, class: more = "", children }) => html`<section class="card ${more}">
  ${title && html`<header><h2>${title}</h2>${action}</header>`}${children}</section>`;

/** Tabs as links, so that each has an address. */
export const Tabs = ({ label, path, tabs, now }) => html`<nav class="tabs" aria-label=${label}>
  ${tabs.filter(Boolean).map(([id, text, many]) => html`<a href=${href(path, { tab: id })} aria-current=${id === now ? "page" : undefined}>${text}${many !== undefined && html` <span class="many">${many}</span>`}</a>`)}</nav>`;

/** A state by its word, its colour, and what it means. */
export function Badge({ of, is }) {
  const [text, kind, meaning] = (of && of[is]) || [is, "calm", ""];
  return html`<span class="badge ${kind}" title=${meaning}>${text}</span>`;
}
export const Tag = ({ kind = "calm", children }) => html`<span class="badge ${kind}">${children}</span>`;

/** A time in the viewer's zone; UTC when one points at it. */
export function Time({ at, exact, day, ago, none = "–" }) {
  if (!at) return html`<span class="quiet">${none}</span>`;
  const title = ago ? `${localExact(at)} · ${utc(at)}` : utc(at);
  return html`<time datetime=${at} title=${title}>${ago ? relative(at) : day ? localDate(at) : exact ? localExact(at) : local(at)}</time>`;
}

/** Names of things beside what they are; absent ones are left out. */
export const Facts = ({ of }) => html`<dl class="facts">${of.filter((fact) => fact && fact[1] !== undefined && fact[1] !== null)
  .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

export const Stat = ({ value, label, kind = "", to }) => {
  const body = html`<strong>${value}</strong><span>${label}</span>`;
  return to ? html`<a class="stat ${kind}" href=${to}>${body}</a>` : html`<div class="stat ${kind}">${body}</div>`;
};

/** A progress bar with its numbers. */
export const Progress = ({ done, total, label }) => html`<div class="progress">
  <progress value=${total ? done : undefined} max=${total || 1} aria-label=${label}></progress></div>`;

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied");
}

export const CopyButton = ({ text, what }) => html`<button type="button" class="icon-button" aria-label=${`Copy ${what}`} title=${`Copy ${what}`} onClick=${() => copy(text)}><${Icon} name="copy" /></button>`;

/** A short value, such as an identifier or fingerprint, that can be copied whole. */
export const Id = ({ value, what = "identifier", length = 8, whole }) => (value ? html`<span class=${whole ? "id whole" : "id"}><code title=${value}>${whole ? value : short(value, length)}</code><${CopyButton} text=${value} what=${what} /></span>` : html`<span class="quiet">–</span>`);

/** Text to paste elsewhere. */
export function CopyBox({ label, text, help, file, type = "application/x-pem-file" }) {
  const id = useId();
  const line = !file && text.length <= 64 && !text.includes("\n");
  return html`<div class=${line ? "copybox line" : "copybox"}>
    <div class="copyhead"><span id=${id}>${label}</span><span>
      ${file && html`<button type="button" class="small secondary outline" onClick=${() => download(file, text, type)}><${Icon} name="download" />Download</button>`}
      <button type="button" class="small secondary outline" aria-label=${`Copy: ${label}`} onClick=${() => copy(text)}><${Icon} name="copy" />Copy</button></span></div>
    <pre tabindex="0" role="group" aria-labelledby=${id}>${text}</pre>
    ${help && html`<small>${help}</small>`}</div>`;
}

// --- Asking. ---

/** A labelled input. `problem` is shown here where it is about this field. */
export function Field({ label, name, value, set, help, problem, kind = "text", options, rows, children, ...more }) {
  const id = useId();
  const wrong = problem && problem.field === name ? problem : null;
  const described = wrong || help ? `${id}-help` : undefined;
  const common = { id, name, "aria-invalid": wrong ? "true" : undefined, "aria-describedby": described, onInput: (event) => set(event.target.value), ...more };
  return html`<div class="field"><label for=${id}>${label}</label>
    ${options
      ? html`<select ...${common} value=${value}>${options.map(([option, text]) => html`<option value=${option} selected=${option === value}>${text}</option>`)}</select>`
      : rows ? html`<textarea ...${common} rows=${rows} value=${value} spellcheck=${false}></textarea>`
      : html`<input ...${common} type=${kind} value=${value} />`}
    ${children}
    ${described && html`<small id=${described}>${wrong ? sentence(wrong.detail.replace(`${name}: `, "")) : help}</small>`}</div>`;
}

/** A text area that a file can be dropped on or chosen for. */
export function PemField({ set, label, ...more }) {
  const read = async (file) => { if (file) set(await file.text()); };
  return html`<div class="pem" onDragOver=${(event) => event.preventDefault()} onDrop=${(event) => { event.preventDefault(); read(event.dataTransfer.files[0]); }}>
    <${Field} label=${label} rows="6" set=${set} class="mono" required autocomplete="off" ...${more}>
      <label class="filepick">or choose a file<input type="file" aria-label=${`File for: ${label}`} accept=".pem,.crt,.cer,.csr,.req,.txt" onChange=${(event) => read(event.target.files[0])} /></label><//></div>`;
}

export const Check = ({ label, value, set, help }) => html`<label class="check"><input type="checkbox" checked=${value} onChange=${(event) => set(event.target.checked)} /><span>${label}${help && html`<small>${help}</small>`}</span></label>`;

/** The state of a form: `bind("name")` for a Field. */
export function useForm(first) {
  const [values, put] = useState(first);
  const set = (name, value) => put((old) => ({ ...old, [name]: value }));
  return { values, set, bind: (name) => ({ name, value: values[name], set: (value) => set(name, value) }) };
}

export function Button({ busy, kind = "", children, ...more }) {
  return html`<button type="button" class=${kind} aria-busy=${busy ? "true" : undefined} disabled=${busy} ...${more}>${children}</button>`;
}

// Numbers, times and sizes as text; files that the viewer takes along.

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const numbers = new Intl.NumberFormat();

export const number = (value) => (value === null || value === undefined ? "–" : numbers.format(value));
export const local = (at) => clock.format(new Date(at));
export const localExact = (at) => exact.format(new Date(at));
export const localDate = (at) => date.format(new Date(at));
export const localHour = (at) => hour.format(new Date(at));
export const utc = (at) => `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** `1 key`, `2 keys`. */
export const count = (many, one, several = `${one}s`) => `${number(many)} ${many === 1 ? one : several}`;

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** A length of time in words, to its largest unit or two. */
export function duration(seconds) {
  let left = Math.max(0, Math.round(seconds));
  if (left === 0) return "no time";
  const words = [];
  for (const [unit, length] of units) {
    const many = Math.floor(left / length);
    if (many === 0 && words.length === 0) continue;
    if (many > 0) words.push(count(many, unit));
    left -= many * length;
    if (words.length === 2 || (unit === "day" && many >= 10)) break;
    if (many === 0) break;
  }
  return words.join(" ");
}

/** `3 minutes ago`, `in 2 days`. */
export function relative(at, now = Date.now()) {
  const seconds = (new Date(at) - now) / 1000;
  if (Math.abs(seconds) < 10) return "just now";
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) || units[3];
  const many = Math.floor(Math.abs(seconds) / length);
  return seconds < 0 ? `${count(many, unit)} ago` : `in ${count(many, unit)}`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let size = value, unit = 0;
  while (size >= 1000 && unit < 4) { size /= 1000; unit += 1; }
  return `${numbers.format(Number(size.toPrecision(3)))} ${["bytes", "kB", "MB", "GB", "TB"][unit]}`;
}

/** Microseconds as milliseconds. */
export function latency(us) {
  if (us === null || us === undefined) return "–";
  return us < 1000 ? `${numbers.format(us)} µs` : `${numbers.format(Number((us / 1000).toPrecision(3)))} ms`;
}

export const short = (id, length = 8) => (id && id.length > length ? `${id.slice(0, length)}…` : id);

// A table program would run what begins like a formula; in some countries a cell also begins after a semicolon.
const cell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const harmless = /^-?\d+(\.\d+)?$/.test(text) ? text : text.replace(/(^|[;\t\r\n])(["' ]*[=+\-@])/g, "$1'$2");
  return /[",;\t\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
};

export const csv = (head, rows) => [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

/** Gives the viewer a file. */
export function download(name, content, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export const fileName = (...parts) => parts.map((part) => String(part).replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60)).join("-");

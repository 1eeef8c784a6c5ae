// The overview: whether everything is well, how much is going on, what needs somebody, what changed last.
import { html, useState } from "../view.js";
import { at, get } from "../api.js";
import { href } from "../route.js";
import { Card, Facts, Loaded, Notice, Page, Progress, Stat, Tag, Time, useLoad } from "../ui.js";
import { useSession } from "../session.js";
import { Chart } from "../chart.js";
import { bytes, count, duration, latency, number } from "../format.js";
import { action } from "../words.js";
import { DaysLeft } from "./adapter.js";

export default function Overview() {
  const overview = useLoad((signal) => get("/v1/overview", signal), [], 5000);
  const { may } = useSession();
  return html`<${Page} title="Overview" lead=${overview.data && html`Keystead ${overview.data.version}, running for ${duration(overview.data.uptime_seconds)}.`}>
    <${Loaded} of=${overview}>${(now) => html`
      <${State} of=${now} />
      ${now.adapters === 0 && html`<${FirstSteps} />`}
      <div class="stats">
        <${Stat} value=${number(now.adapters)} label="adapters" to=${href("/adapters")} />
        <${Stat} value=${number(now.objects.live)} label="keys" to=${href("/keys")} />
        <${Stat} value=${number(now.certificates.expired + now.certificates.expiring)} label=${now.certificates.expired ? `certificates expired or ending within ${now.certificates.within_days} days` : `certificates end within ${now.certificates.within_days} days`} kind=${now.certificates.expired ? "bad" : now.certificates.expiring ? "warn" : ""} to=${href("/certificates")} />
        ${now.approvals && html`<${Stat} value=${number(now.approvals.pending)} label=${now.approvals.pending === 1 ? "approval waits" : "approvals wait"} kind=${now.approvals.pending ? "warn" : ""} to=${href("/approvals")} />`}
      </div>
      ${now.rotations?.map((one) => html`<${Card} title=${`Rotating ${one.label}`}><${Progress} done=${one.done} total=${one.total} label=${`Rotation of ${one.label}`} />
        <p>${number(one.done)} of ${count(one.total, "key")}${one.seconds_left !== null && `, about ${duration(one.seconds_left)} left`}. <a href=${href(`/root-keys/${one.root_key}`)}>See the root key</a></p><//>`)}
      ${may("config.read") && html`<${Charts} />`}
      <div class="columns">${now.hsm && html`<${Hsm} of=${now.hsm} />`}${now.store && html`<${Records} of=${now} />`}</div>
      <div class="columns"><${Ending} />${now.changes && html`<${Changes} of=${now.changes} />`}</div>`}<//><//>`;
}

function State({ of }) {
  const wrong = [["The HSM", of.hsm], ["The audit log", of.audit && { state: of.audit.healthy ? "ready" : "down", message: of.audit.message }]].filter(([, part]) => part && part.state !== "ready");
  if (of.ready && wrong.length === 0) return html`<${Notice} kind="good" title="Everything is well">The server answers requests.<//>`;
  if (wrong.length === 0) return html`<${Notice} kind="bad" title="The server is not ready">Ask somebody who may see its state.<//>`;
  return wrong.map(([name, part]) => html`<${Notice} kind=${part.state === "degraded" ? "warn" : "bad"} title=${`${name} is ${part.state === "degraded" ? "degraded" : "not available"}`}>${part.message}<//>`);
}

const FirstSteps = () => html`<${Card} title="First steps"><ol class="steps">
  <li><h2>Make a root key</h2><p>It is made in the HSM and protects everything else. <a href=${href("/root-keys", { new: 1 })}>Make a root key</a></p></li>
  <li><h2>Make an adapter</h2><p>One for each system that will keep its keys here. <a href=${href("/adapters")}>Make an adapter</a></p></li>
  <li><h2>Connect the system</h2><p>Step by step for vCenter, NetApp and others. <a href=${href("/connect")}>Connect a client</a></p></li></ol><//>`;

function Charts() {
  const [window, setWindow] = useState("hour");
  const found = useLoad((signal) => get(at("/v1/statistics", { window }), signal), [window], 15000);
  const toggle = html`<div class="toggle" role="group" aria-label="Shown time">${[["hour", "Hour"], ["day", "Day"]].map(([id, text]) => html`<button type="button" aria-pressed=${String(id === window)} onClick=${() => setWindow(id)}>${text}</button>`)}</div>`;
  return html`<${Card} title="Requests of clients" action=${toggle}><${Loaded} of=${found}>${(stats) => {
    const { buckets } = stats;
    const times = buckets.map((one) => one.start);
    const sum = (name) => buckets.reduce((all, one) => all + one[name], 0);
    const slowest = Math.max(0, ...buckets.map((one) => one.max_us || 0));
    const each = stats.bucket_seconds === 60 ? "a minute" : `in ${stats.bucket_seconds / 60} minutes`;
    const common = { times, since: stats.started_at };
    return html`<div class="charts">
      <${Chart} ...${common} title="Requests" summary=${`${each}; ${number(sum("requests"))} in all`} lines=${[{ label: "requests", values: buckets.map((one) => one.requests) }]} show=${(value) => number(Math.round(value * 10) / 10)} />
      <${Chart} ...${common} title="Time to answer" summary=${slowest ? `slowest ${latency(slowest)}` : "nothing was asked"} lines=${[{ label: "half are below", values: buckets.map((one) => one.p50_us) }, { label: "99 of 100 are below", values: buckets.map((one) => one.p99_us) }]} show=${latency} />
      <${Chart} ...${common} title="Errors" summary=${`${each}; ${count(sum("errors"), "error")} in all`} lines=${[{ label: "errors", values: buckets.map((one) => one.errors) }]} show=${(value) => number(Math.round(value * 10) / 10)} /></div>`;
  }}<//><//>`;
}

const kind = { ready: "good", degraded: "warn", down: "bad" };
const word = { ready: "Ready", degraded: "Degraded", down: "Not available" };

const Hsm = ({ of }) => html`<${Card} title="HSM" action=${html`<${Tag} kind=${kind[of.state]}>${word[of.state] || of.state}<//>`}>
  ${of.backend === "software" && html`<${Notice} kind="warn">Root keys are kept in software, not in an HSM. This is for trials only.<//>`}
  ${of.tokens.map((token) => html`<${Facts} of=${[
    ["Token", html`<bdi>${token.label}</bdi>${of.tokens.length > 1 && html` <${Tag} kind=${kind[token.state]}>${word[token.state]}<//>`}`],
    token.serial && ["Serial number", html`<code>${token.serial}</code>`],
    token.scheme && ["Keys are wrapped with", html`<span title=${token.mechanism}>${token.scheme}</span>`],
    ["Sessions", token.sessions.size ? `${number(token.sessions.busy)} of ${number(token.sessions.size)} busy${token.sessions.waiting ? `, ${number(token.sessions.waiting)} waiting` : ""}${token.sessions.stuck ? `, ${number(token.sessions.stuck)} stuck` : ""}` : "no limit"],
    ["Breaker", token.breaker === "closed" ? "closed: calls reach the token" : "open: calls are refused until the token is back"],
    token.message && ["What is wrong", token.message]]} />`)}
  <${Facts} of=${[["wrap", "Wrapping a key"], ["unwrap", "Opening a key"]].map(([name, text]) => [text, of[name]?.count ? `${latency(of[name].p50_us)} (99 of 100 below ${latency(of[name].p99_us)})` : "not in the last hour"])} /><//>`;

const Records = ({ of }) => html`<${Card} title="Database and audit log" action=${html`<${Tag} kind=${of.audit.healthy ? "good" : "bad"}>${of.audit.healthy ? "Ready" : "Not available"}<//>`}><${Facts} of=${[
  ["Database", `${bytes(of.store.bytes)}, ${bytes(of.store.disk_free_bytes)} free`],
  ["Written last", html`<${Time} at=${of.store.last_write_at} ago none="not since the start" />`],
  of.store.waiting > 0 && ["Waiting to be written", number(of.store.waiting)],
  ["Audit log", `${count(of.audit.records, "record")}, ${bytes(of.audit.bytes)} in ${count(of.audit.segments, "file")}`],
  ["Signed last", html`<${Time} at=${of.audit.last_checkpoint_at} ago none="not yet" />${of.audit.unsigned_records > 0 && `, ${number(of.audit.unsigned_records)} since`}`],
  of.connections && ["Connections of clients", `${number(of.connections.open)} of at most ${number(of.connections.limit)}`]]} /><//>`;

function Ending() {
  const found = useLoad((signal) => get("/v1/certificates?expiring_within_days=60&limit=6", signal));
  return html`<${Card} title="Certificates that end soon" action=${html`<a href=${href("/certificates")}>All</a>`}><${Loaded} of=${found}>${({ items }) => (items.length === 0
    ? html`<p class="quiet">None within 60 days.</p>`
    : html`<ul class="list">${items.map((one) => html`<li><span>${one.adapter ? html`<a href=${href(`/adapters/${one.adapter}`)}><bdi>${one.name}</bdi></a>` : html`<bdi>${one.name}</bdi>`}</span><span><${Time} at=${one.not_after} day /> <${DaysLeft} days=${one.days_left} /></span></li>`)}</ul>`)}<//><//>`;
}

const Changes = ({ of }) => html`<${Card} title="What changed last" action=${html`<a href=${href("/audit")}>Audit log</a>`}>${of.length === 0
  ? html`<p class="quiet">Nothing since the server was started.</p>`
  : html`<ul class="list">${of.slice(0, 8).map((one) => html`<li><span>${action(one.action)}${one.name && html` <strong><bdi>${one.name}</bdi></strong>`} <span class="quiet">by <bdi>${one.actor_name || one.actor}</bdi></span></span><span class="quiet"><${Time} at=${one.time} ago /></span></li>`)}</ul>`}<//>`;

// The audit log: searched, exported, verified.
import { html, useState } from "../view.js";
import { all, at, get } from "../api.js";
import { become, href } from "../route.js";
import { Button, Card, Empty, Facts, Field, Notice, Page, ProblemBox, say, Tag, Time, useAct, useForm, useLoad } from "../ui.js";
import { Icon } from "../icons.js";
import { Listing } from "../table.js";
import { count, download, number } from "../format.js";
import { action } from "../words.js";

const about = (row) => [["adapter", "adapters"], ["object", "keys"], ["root_key", "root-keys"], ["identity", "identities"], ["approval", "approvals"]].filter(([name]) => row[name]);
const who = (row) => row.actor_name || (row.actor?.startsWith("uid:") ? `user ${row.actor.slice(4)} of the server` : row.actor) || row.peer || "–";
const columns = [
  { id: "sequence", label: "No.", text: (row) => row.sequence },
  { id: "time", label: "When", text: (row) => row.time, show: (row) => html`<${Time} at=${row.time} exact />` },
  { id: "action", label: "What", text: (row) => row.action, show: (row) => html`${action(row.action)}${row.version && html` <span class="quiet">KMIP ${row.version}</span>`}${row.name && html`<span class="sub"><bdi>${row.name}</bdi></span>`}` },
  { id: "outcome", label: "Outcome", text: (row) => row.outcome, show: (row) => html`<${Tag} kind=${row.outcome === "success" ? "good" : row.outcome === "begun" ? "calm" : "bad"}>${row.outcome}<//>${row.permission && html`<span class="sub">needs ${row.permission}</span>`}` },
  { id: "who", label: "Who", text: who, show: (row) => html`<bdi>${who(row)}</bdi>${row.peer && html`<span class="sub">${row.peer}</span>`}` },
  { id: "about", label: "About", text: (row) => about(row).map(([name]) => `${name} ${row[name]}`).join("; "), show: (row) => html`${about(row).map(([name, page], place) => html`${place > 0 && html`<br />`}<a href=${href(`/${page}/${row[name]}`)}>${name.replace("_", " ")} <code>${row[name].slice(0, 8)}…</code></a>`)}` },
  { id: "certificate", label: "Certificate", text: (row) => row.certificate, only: "csv" },
  { id: "via", label: "Signed in with", text: (row) => row.via, only: "csv" },
  { id: "correlation", label: "Reference", text: (row) => row.correlation, only: "csv" },
];
const moment = (text) => (text ? new Date(text).toISOString() : "");

export default function Audit({ query }) {
  const form = useForm(query);
  const asked = { action: query.action, outcome: query.outcome === "all" ? "" : query.outcome || "ended", actor: query.actor, adapter: query.adapter, correlation: query.reference, since: moment(query.since), until: moment(query.until) };
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }).catch(() => []));
  const [sofar, setSofar] = useState(null);
  const lines = useAct(async () => {
    const found = await all("/v1/audit/events", asked, { progress: setSofar });
    download("keystead-audit.jsonl", found.map((row) => JSON.stringify(row)).join("\n") + "\n", "application/x-ndjson");
    return true;
  });
  const filtered = Object.values(query).some(Boolean);
  return html`<${Page} title="Audit log" lead="Everything that was done or refused, by clients and by administrators, written down before it was answered. Each record is chained to the one before, so that none can be changed or taken out unnoticed.">
    <${Verify} />
    <${Card}><form role="search" onSubmit=${(event) => { event.preventDefault(); become("/audit", form.values); }}>
      <div class="row"><${Field} label="What was done" ...${form.bind("action")} placeholder="adapter.* or Get" help="A name, or its beginning with *." />
        <${Field} label="By whom" ...${form.bind("actor")} placeholder="alice" />
        <${Field} label="Outcome" ...${form.bind("outcome")} options=${[["", "Any"], ["success", "It worked"], ["failure", "It failed or was refused"], ["denied", "Not allowed"], ["all", "Any, and that it began"]]} />
        <${Field} label="Adapter" ...${form.bind("adapter")} options=${[["", "Any"], ...(adapters.data || []).map((one) => [one.id, one.name])]} /></div>
      <div class="row"><${Field} label="From" ...${form.bind("since")} kind="datetime-local" /><${Field} label="Until" ...${form.bind("until")} kind="datetime-local" />
        <${Field} label="Reference" ...${form.bind("reference")} placeholder="of an error message" /></div>
      <div class="actions"><button type="submit">Search</button>${filtered && html`<a role="button" class="secondary outline" href=${href("/audit")} onClick=${() => Object.keys(form.values).forEach((name) => form.set(name, ""))}>Clear</a>`}
        <${Button} kind="secondary outline" busy=${lines.busy} onClick=${lines.act}><${Icon} name="download" />${lines.busy ? `${number(sofar || 0)} so far…` : "Export JSON lines"}<//></div></form>
      <${ProblemBox} problem=${lines.problem} /><//>
    <${Listing} name="Audit log" path="/v1/audit/events" query=${asked} columns=${columns} keyed="sequence" empty=${html`<${Empty} title="No record fits">Search by less, or for another time.<//>`} /><//>`;
}

/** Checks the chain and the signatures of the whole log, part by part. */
function Verify() {
  const [sum, setSum] = useState(null);
  const { act, busy, problem } = useAct(async () => {
    let now = { records: 0, checkpoints: 0, problems: [], notes: [] };
    let page;
    do {
      const part = await get(at("/v1/audit/verify", { page }));
      now = { ...part, first: now.first ?? part.first, records: now.records + part.records, checkpoints: now.checkpoints + part.checkpoints,
        problems: [...now.problems, ...part.problems], notes: [...new Set([...now.notes, ...part.notes])] };
      page = part.next_page;
      setSum({ ...now, on: Boolean(page) });
    } while (page);
    say(now.problems.length === 0 && now.clean ? "The audit log is whole" : "The audit log is not whole");
    return now;
  });
  const whole = sum && sum.clean && sum.problems.length === 0;
  return html`<${Card} title="Is it whole?" action=${html`<${Button} kind="small secondary outline" busy=${busy} onClick=${() => { setSum(null); act(); }}>Verify the audit log<//>`}>
    <p class="quiet">Reads every record and checks the chain and the HSM's signatures. Copied files can be verified anywhere, offline, with <code>keystead audit verify</code>.</p>
    ${busy && html`<p role="status">${sum ? `${count(sum.records, "record")} looked at so far…` : "Reading the log…"}</p>`}
    <${ProblemBox} problem=${problem} />
    ${sum && !sum.on && html`<${Notice} kind=${whole ? "good" : "bad"} title=${whole ? "The audit log is whole" : "The audit log is not whole"}>
      ${whole ? html`${count(sum.records, "record")} are as they were written, up to <${Time} at=${sum.last_time} exact />.` : html`<ul>${sum.problems.map((one) => html`<li>${one.detail || one.message || one.text || one.problem}${one.file && html` <code>${one.file}${one.line ? `, line ${one.line}` : ""}</code>`}</li>`)}</ul>`}<//>
      <${Facts} of=${[["Signed checkpoints with a right signature", number(sum.checkpoints)], ["Not signed yet, from record", sum.unvouched_from ? number(sum.unvouched_from) : "none"]]} />
      ${sum.notes.map((note) => html`<p class="quiet">${note}</p>`)}`}<//>`;
}

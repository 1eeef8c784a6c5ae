// Certificates: which end when, and authorities of other people.
import { html, useState } from "../view.js";
import { all, post, remove } from "../api.js";
import { Icon } from "../icons.js";
import { become, href } from "../route.js";
import { Button, Card, Empty, Field, Id, Loaded, Page, PemField, say, Stat, Tabs, Time, useForm, useLoad } from "../ui.js";
import { Confirm, FormDialog } from "../dialogs.js";
import { Table } from "../table.js";
import { useSession } from "../session.js";
import { count, number } from "../format.js";
import { certificateKinds } from "../words.js";
import { DaysLeft } from "./adapter.js";

export default function Certificates({ query }) {
  const { may } = useSession();
  const tab = query.tab || "forecast";
  return html`<${Page} title="Certificates" lead="A client whose certificate has ended is let in no more, and then cannot reach its keys. Register the next one beside it in good time, switch the client over, and remove the old one.">
    ${may("config.read") && html`<${Tabs} label="Certificates" path="/certificates" now=${tab} tabs=${[["forecast", "When they end"], ["authorities", "Authorities of others"]]} />`}
    ${tab === "authorities" ? html`<${Authorities} />` : html`<${Forecast} days=${query.days || "365"} />`}<//>`;
}

const columns = [
  { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`${row.adapter ? html`<a href=${href(`/adapters/${row.adapter}`)}><bdi>${row.name}</bdi></a>` : html`<bdi>${row.name}</bdi>`}<span class="sub"><bdi>${row.subject}</bdi></span>` },
  { id: "kind", label: "Whose", text: (row) => certificateKinds[row.kind] || row.kind, show: (row) => html`${certificateKinds[row.kind] || row.kind}${row.kind === "client" && !row.registered && html`<span class="sub">let in by a rule</span>`}` },
  { id: "ends", label: "Ends", text: (row) => row.not_after, show: (row) => html`<${Time} at=${row.not_after} day /> <${DaysLeft} days=${row.days_left} />` },
  { id: "days", label: "Days left", text: (row) => row.days_left, only: "csv" },
  { id: "seen", label: "Last seen", text: (row) => row.last_seen?.at, show: (row) => html`<${Time} at=${row.last_seen?.at} ago none=${row.kind === "client" ? "never" : "–"} />` },
  { id: "fingerprint", label: "SHA-256 fingerprint", text: (row) => row.fingerprint, show: (row) => html`<${Id} value=${row.fingerprint} what="fingerprint" length="12" />` },
];

function Forecast({ days }) {
  const found = useLoad((signal) => all("/v1/certificates", { expiring_within_days: days }, { signal }), [days]);
  const within = (rows, from, to) => rows.filter((row) => row.days_left >= from && row.days_left < to).length;
  return html`<${Loaded} of=${found}>${(rows) => html`
    <div class="stats"><${Stat} value=${number(rows.filter((row) => row.days_left < 0).length)} label="have ended" kind=${rows.some((row) => row.days_left < 0) ? "bad" : ""} />
      <${Stat} value=${number(within(rows, 0, 14))} label="end within 14 days" kind=${within(rows, 0, 14) ? "bad" : ""} />
      <${Stat} value=${number(within(rows, 14, 60))} label="end in 14 to 60 days" kind=${within(rows, 14, 60) ? "warn" : ""} />
      <${Stat} value=${number(rows.filter((row) => row.days_left >= 60).length)} label="end later" /></div>
    <div class="row short"><${Field} label="Show those that end within" name="days" value=${days} set=${(days) => become("/certificates", { days })} options=${[["30", "30 days"], ["60", "60 days"], ["90", "90 days"], ["365", "a year"], ["3660", "ten years"]]} /></div>
    <${Table} name="Certificates" keyed="fingerprint" rows=${rows} columns=${columns} sort=${["ends", "up"]} empty=${html`<${Empty} title="None ends in this time">The server warns in its log and metrics as well, in good time.<//>`} />`}<//>`;
}

function Authorities() {
  const { may } = useSession();
  const found = useLoad((signal) => all("/v1/authorities", {}, { signal }));
  const [open, setOpen] = useState(null);
  const form = useForm({ name: "", pem: "" });
  const write = may("config.write");
  const done = (text) => { setOpen(null); say(text); found.reload(); };
  const cells = [
    { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<bdi>${row.name}</bdi><span class="sub"><bdi>${row.subject}</bdi></span>` },
    { id: "rules", label: "Rules", end: true, text: (row) => row.rules },
    { id: "ends", label: "Ends", text: (row) => row.not_after, show: (row) => html`<${Time} at=${row.not_after} day /> <${DaysLeft} days=${row.days_left} />` },
    { id: "fingerprint", label: "SHA-256 fingerprint", text: (row) => row.fingerprint, show: (row) => html`<${Id} value=${row.fingerprint} what="fingerprint" length="12" />` },
    write && { id: "remove", label: "", only: "page", show: (row) => html`<${Button} kind="small danger outline" aria-label=${`Remove ${row.name}`} onClick=${() => setOpen({ remove: row })}>Remove…<//>` },
  ].filter(Boolean);
  const add = write && html`<${Button} kind="small" onClick=${() => setOpen({ add: true })}><${Icon} name="plus" />Add an authority<//>`;
  return html`<${Card} title="Authorities of others" action=${add}>
    <p class="quiet">An authority by itself lets nobody in. Rules of an adapter say which of its certificates do.</p>
    <${Loaded} of=${found}>${(rows) => html`<${Table} name="Authorities" keyed="fingerprint" rows=${rows} columns=${cells} empty=${html`<${Empty} title="None">Only needed where clients have certificates of your own authority and you do not want to register each.<//>`} />`}<//><//>
    ${open?.add && html`<${FormDialog} title="Add an authority" submit="Add it" wide close=${() => setOpen(null)} done=${() => done("The authority is added")} send=${(key) => post("/v1/authorities", { name: form.values.name.trim(), pem: form.values.pem }, key)}>${(problem) => html`
      <${Field} label="Name" ...${form.bind("name")} required minlength="2" maxlength="40" problem=${problem} />
      <${PemField} label="Its certificate (PEM)" ...${form.bind("pem")} problem=${problem} placeholder="-----BEGIN CERTIFICATE-----" />`}<//>`}
    ${open?.remove && html`<${Confirm} title=${`Remove ${open.remove.name}`} submit="Remove it" close=${() => setOpen(null)} send=${() => remove(`/v1/authorities/${open.remove.fingerprint}`)} done=${() => done("The authority is removed")}>
      <p>${open.remove.rules ? `${count(open.remove.rules, "rule")} still name it: remove them first, on the pages of their adapters.` : "0 rules name it, so nobody loses access."}</p><//>`}`;
}

// One adapter: what connects to it, what it keeps, what was done, and how it is set.
import { html, useState } from "../view.js";
import { all, at, change, get, post, remove } from "../api.js";
import { Icon } from "../icons.js";
import { go, href } from "../route.js";
import { Badge, Button, Card, Check, CopyBox, Empty, Facts, Field, Id, Loaded, Notice, Page, PemField, ProblemBox, say, Tabs, Tag, Time, useAct, useForm, useLoad } from "../ui.js";
import { Confirm, Destroy, Dialog, FormDialog } from "../dialogs.js";
import { Listing, Table } from "../table.js";
import { useSession } from "../session.js";
import { count, download, duration, fileName, number } from "../format.js";
import { action, adapterStates, ruleKinds } from "../words.js";
import { Hold } from "./adapters.js";
import { keyColumns } from "./keys.js";

export default function Adapter({ id, tab = "certificates" }) {
  const path = `/v1/adapters/${id}`;
  const { may } = useSession();
  const loaded = useLoad((signal) => get(path, signal), [path]);
  const usage = useLoad((signal) => get(`${path}/usage`, signal).catch(() => null), [path]);
  const [deleting, setDeleting] = useState(false);
  const adapter = loaded.data;
  const change = may("kmip-management.create", id);
  const actions = adapter && html`
    ${change && html`<a role="button" href=${href("/connect", { adapter: id })}><${Icon} name="connect" />Connect a client</a>`}
    ${may("kmip-management.delete", id) && html`<${Button} kind="danger outline" onClick=${() => setDeleting(true)}>Delete…<//>`}`;
  return html`<${Page} title=${adapter?.name || "Adapter"} up=${["/adapters", "Adapters"]} lead=${adapter?.description && html`<bdi>${adapter.description}</bdi>`}
    badge=${adapter && html`<${Badge} of=${adapterStates} is=${adapter.state} />`} actions=${actions}>
    <${Loaded} of=${loaded}>${() => html`
      <${Card}><${Facts} of=${[
        ["Root key", html`<a href=${href(`/root-keys/${adapter.root_key.id}`)}><bdi>${adapter.root_key.label || "unnamed"}</bdi></a>`],
        ["Keys", `${number(adapter.objects.live)}${adapter.objects.destroyed ? `, and ${number(adapter.objects.destroyed)} destroyed` : ""}`],
        ["First key made", html`<${Time} at=${usage.data?.first_object?.created_at} none="not yet" />`],
        ["A client was seen last", usage.data?.clients[0] ? html`<${Time} at=${usage.data.clients[0].seen_at} ago /> from <code>${usage.data.clients[0].address}</code>` : "never"],
        ["Made", html`<${Time} at=${adapter.created_at} />`],
        ["Identifier", html`<${Id} value=${id} length="13" />`]]} /><//>
      <${Tabs} label="Parts of the adapter" path=${`/adapters/${id}`} now=${tab} tabs=${[["certificates", "Certificates", adapter.certificates], ["rules", "Rules", adapter.rules], ["keys", "Keys", number(adapter.objects.live)], ["activity", "Activity"], ["policy", "Policy"]]} />
      ${tab === "rules" ? html`<${Rules} path=${path} may=${change} changed=${loaded.reload} />`
        : tab === "keys" ? html`<${Listing} name=${`Keys of ${adapter.name}`} path=${`${path}/objects`} columns=${keyColumns()} empty=${html`<${Empty} title="No keys yet">The adapter's clients make keys here. <a href=${href("/connect", { adapter: id })}>Connect a client</a> to see its first one arrive.<//>`} />`
        : tab === "activity" ? html`<${Activity} path=${path} name=${adapter.name} />`
        : tab === "policy" ? html`<${Policy} key=${adapter.revision} path=${path} adapter=${adapter} may=${change} put=${(now) => { loaded.put(now); say("Saved"); }} reload=${loaded.reload} />`
        : html`<${Certificates} path=${path} id=${id} name=${adapter.name} rules=${adapter.rules} may=${change} mayRemove=${may("kmip-management.delete", id)} changed=${loaded.reload} />`}
      ${deleting && html`<${Destroy} title=${`Delete ${adapter.name}`} verb="Delete the adapter and its keys" impact=${`${path}/impact`} needs=${(report) => report.active_objects > 0 || report.held_objects > 0}
        deed=${() => remove(path, adapter.revision)} action="adapter.delete" subject=${id} mayAsk=${may("approval.request", id)}
        close=${() => setDeleting(false)} done=${() => { say(`${adapter.name} is deleted`); go("/adapters"); }} />`}`}<//><//>`;
}

/** How long a certificate is still good, as a badge where that is soon. */
export function DaysLeft({ days }) {
  if (days < 0) return html`<${Tag} kind="bad">expired<//>`;
  if (days <= 14) return html`<${Tag} kind="bad">${count(days, "day")} left<//>`;
  return days <= 60 ? html`<${Tag} kind="warn">${count(days, "day")} left<//>` : html`<span class="quiet">${count(days, "day")} left</span>`;
}

function Certificates({ path, id, name, rules, may, mayRemove, changed }) {
  const certificates = useLoad((signal) => all(`${path}/certificates`, {}, { signal }), [path]);
  const [open, setOpen] = useState(null);
  const [meant, setMeant] = useState(false);
  const done = (text) => { setOpen(null); say(text); certificates.reload(); changed(); };
  const columns = [
    { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<bdi>${row.name}</bdi><span class="sub"><bdi>${row.subject}</bdi></span>` },
    { id: "fingerprint", label: "SHA-256 fingerprint", text: (row) => row.fingerprint, show: (row) => html`<${Id} value=${row.fingerprint} what="fingerprint" length="12" />` },
    { id: "seen", label: "Last seen", text: (row) => row.last_seen?.at, show: (row) => (row.last_seen ? html`<${Time} at=${row.last_seen.at} ago /><span class="sub">${row.last_seen.address}</span>` : html`<${Tag}>never<//>`) },
    { id: "ends", label: "Valid until", text: (row) => row.not_after, show: (row) => html`<${Time} at=${row.not_after} day /> <${DaysLeft} days=${row.days_left} />` },
    { id: "key", label: "Key", text: (row) => row.key },
    mayRemove && { id: "remove", label: "", only: "page", show: (row) => html`<${Button} kind="small danger outline" aria-label=${`Remove ${row.name}`} onClick=${() => setOpen({ remove: row })}>Remove…<//>` },
  ].filter(Boolean);
  const add = may && html`<${Button} kind="small" onClick=${() => setOpen({ add: true })}><${Icon} name="plus" />Register a certificate<//>`;
  return html`<${Card} title="Client certificates" action=${may && html`<div class="actions">${add}
      <${Button} kind="small secondary outline" onClick=${() => setOpen({ sign: true })}>Sign a request (CSR)<//>
      <${Button} kind="small secondary outline" onClick=${() => setOpen({ issue: true })}>Make one<//></div>`}>
    <p class="quiet">Whoever holds the private key of one of these acts as <bdi>${name}</bdi>. A certificate takes effect at once, and removing it ends its connections at once.</p>
    <${Loaded} of=${certificates}>${(rows) => html`<${Table} name=${`Certificates of ${name}`} keyed="fingerprint" rows=${rows} columns=${columns} sort=${["ends", "up"]}
      empty=${html`<${Empty} title="No certificate yet" action=${may && html`<a role="button" href=${href("/connect", { adapter: id })}>Connect a client step by step</a>`}>Until one is registered, or a rule lets one in, nobody can connect.<//>`} />`}<//><//>
    ${open?.add && html`<${Register} path=${path} close=${() => setOpen(null)} done=${(made) => done(`${count(made.items.length, "certificate")} registered`)} />`}
    ${open?.sign && html`<${Sign} path=${path} name=${name} close=${() => { setOpen(null); certificates.reload(); changed(); }} />`}
    ${open?.issue && html`<${Issue} path=${path} name=${name} close=${() => { setOpen(null); certificates.reload(); changed(); }} />`}
    ${open?.remove && html`<${Confirm} title=${`Remove ${open.remove.name}`} submit="Remove it" close=${() => setOpen(null)} send=${() => remove(at(`${path}/certificates/${open.remove.fingerprint}`, { although_covered: meant ? true : undefined }))} done=${() => done("The certificate is removed")}>
      <p>1 of the ${count(certificates.data.length, "certificate")} of <bdi>${name}</bdi> is removed. Connections made with it end at once, and no new ones are let in.
        ${open.remove.last_seen ? html` It was used last <${Time} at=${open.remove.last_seen.at} ago /> from <code>${open.remove.last_seen.address}</code>.` : " It was never used."}</p>
      ${certificates.data.length === 1 && html`<${Notice} kind="warn">It is the adapter's only certificate: afterwards its clients cannot reach their keys.<//>`}
      <p>The keys stay as they are. The certificate can be registered again.</p>
      ${rules > 0 && html`<${Check} value=${meant} set=${setMeant} label="Remove it also where a rule lets it in" help="Its holder would then get in by the rule, as before." />`}<//>`}`;
}

export function Register({ path, close, done, pem = "" }) {
  const form = useForm({ name: "", pem });
  return html`<${FormDialog} title="Register a certificate" submit="Register" wide close=${close} done=${done}
    send=${(key) => post(`${path}/certificates`, { name: form.values.name.trim() || null, pem: form.values.pem }, key)}>${(problem) => html`
    <${PemField} label="Certificate (PEM)" ...${form.bind("pem")} problem=${problem} placeholder="-----BEGIN CERTIFICATE-----" help="The client's public certificate, self-signed or not. Never its private key." />
    <${Field} label="Name (optional)" ...${form.bind("name")} minlength="2" maxlength="40" problem=${problem} help="Without one it is called by its common name." />`}<//>`;
}

/** What the authority made of a request, to be taken to the client. */
export const Signed = ({ of, name }) => html`
  <${CopyBox} label="Signed certificate" text=${of.certificate_pem} file=${`${fileName(name)}.pem`} />
  <${CopyBox} label="Certificate of this server's authority (CA)" text=${of.ca_pem} file="keystead-ca.pem" help="The client trusts this server by it." />
  ${of.not_granted.length > 0 && html`<${Notice}>The request asked for more than such a certificate needs. Not granted: ${of.not_granted.join(", ")}.<//>`}`;

function Sign({ path, name, close }) {
  const form = useForm({ name: "", request: "", days: "1825" });
  const [signed, setSigned] = useState(null);
  if (signed) return html`<${Dialog} title="The request is signed" wide close=${close}><p>The certificate is registered with <bdi>${name}</bdi> already.</p><${Signed} of=${signed} name=${name} /><footer><${Button} onClick=${close}>Done<//></footer><//>`;
  return html`<${FormDialog} title="Sign a certificate signing request" submit="Sign" wide close=${close} done=${setSigned}
    send=${(key) => post(`${path}/certificates/sign`, { request: form.values.request, name: form.values.name.trim() || null, days: Number(form.values.days) }, key)}>${(problem) => html`
    <${PemField} label="Request (CSR)" ...${form.bind("request")} problem=${problem} placeholder="-----BEGIN CERTIFICATE REQUEST-----" help="The client keeps its private key; only the request comes here." />
    <div class="row"><${Field} label="Name (optional)" ...${form.bind("name")} minlength="2" maxlength="40" problem=${problem} />
    <${Field} label="Valid for days" ...${form.bind("days")} kind="number" min="1" max="1825" required problem=${problem} /></div>`}<//>`;
}

/** A certificate with its private key as a PKCS#12 file. */
function Issue({ path, name, close }) {
  const form = useForm({ common_name: name, password: "", key: "rsa-3072" });
  const [issued, setIssued] = useState(null);
  const save = () => download(`${fileName(name)}.p12`, new Blob([Uint8Array.from(atob(issued.pkcs12), (letter) => letter.charCodeAt(0))], { type: "application/x-pkcs12" }));
  if (issued) {
    return html`<${Dialog} title="The certificate is made" wide close=${() => {}}><${Notice} kind="warn" title="The private key is given this once">It is in the file, under your password. The server keeps no copy.<//>
      <${Button} onClick=${save}><${Icon} name="download" />Download ${fileName(name)}.p12<//>
      <div class="gap"></div><${CopyBox} label="Certificate of this server's authority (CA)" text=${issued.ca_pem} file="keystead-ca.pem" />
      <footer><${Button} kind="secondary outline" onClick=${close}>I have saved it<//></footer><//>`;
  }
  return html`<${FormDialog} title="Make a certificate and private key" submit="Make them" close=${close} done=${setIssued}
    lead="For clients that cannot make a key of their own. One that can should: then its private key never travels."
    send=${(key) => post(`${path}/certificates/issue`, form.values, key)}>${(problem) => html`
    <${Field} label="Common name" ...${form.bind("common_name")} required maxlength="64" problem=${problem} />
    <${Field} label="Password of the file" ...${form.bind("password")} kind="password" required minlength="12" maxlength="128" autocomplete="new-password" problem=${problem} help="At least 12 characters. The file is a PKCS#12 (.p12)." />
    <${Field} label="Kind of key" ...${form.bind("key")} options=${[["rsa-3072", "RSA, 3072 bits (every client understands it)"], ["ecdsa-p256", "ECDSA, P-256"]]} />`}<//>`;
}

function Rules({ path, may, changed }) {
  const rules = useLoad((signal) => all(`${path}/rules`, {}, { signal }), [path]);
  const authorities = useLoad((signal) => all("/v1/authorities", {}, { signal }).catch(() => []), []);
  const [open, setOpen] = useState(null);
  const form = useForm({ issuer: "", kind: "cn", value: "" });
  const issuer = (rule) => (rule.issuer ? authorities.data?.find((one) => one.fingerprint === rule.issuer)?.name || rule.issuer.slice(0, 12) : "This server's authority");
  const columns = [
    { id: "kind", label: "What is compared", text: (row) => ruleKinds[row.kind]?.[0] || row.kind },
    { id: "value", label: "With", text: (row) => row.value, show: (row) => html`<code><bdi>${row.value}</bdi></code>` },
    { id: "issuer", label: "Issued by", text: issuer },
    { id: "added", label: "Added", text: (row) => row.added_at, show: (row) => html`<${Time} at=${row.added_at} day />` },
    may && { id: "remove", label: "", only: "page", show: (row) => html`<${Button} kind="small danger outline" aria-label=${`Remove the rule for ${row.value}`} onClick=${() => setOpen({ remove: row })}>Remove…<//>` },
  ].filter(Boolean);
  const add = may && html`<${Button} kind="small" onClick=${() => setOpen({ add: true })}><${Icon} name="plus" />Add a rule<//>`;
  const done = (text) => { setOpen(null); say(text); rules.reload(); changed(); };
  return html`<${Card} title="Rules" action=${add}>
    <p class="quiet">A rule lets in every certificate of an authority that says the same thing, without registering each. Most adapters need none.</p>
    <${Loaded} of=${rules}>${(rows) => html`<${Table} name="Rules" rows=${rows} columns=${columns} empty=${html`<${Empty} title="No rules">Only registered certificates are let in.<//>`} />`}<//><//>
    ${open?.add && html`<${FormDialog} title="Add a rule" submit="Add it" close=${() => setOpen(null)} done=${() => done("The rule is added")}
      send=${(key) => post(`${path}/rules`, { ...form.values, issuer: form.values.issuer || null, value: form.values.value.trim() }, key)}>${(problem) => html`
      <${Field} label="Certificates issued by" ...${form.bind("issuer")} problem=${problem} options=${[["", "This server's authority"], ...(authorities.data || []).map((one) => [one.fingerprint, one.name])]} help=${html`Other authorities are added under <a href=${href("/certificates", { tab: "authorities" })}>Certificates</a>.`} />
      <${Field} label="What is compared" ...${form.bind("kind")} options=${Object.entries(ruleKinds).map(([kind, [text]]) => [kind, text])} />
      <${Field} label="With" ...${form.bind("value")} required maxlength="2048" placeholder=${ruleKinds[form.values.kind][1]} problem=${problem} />`}<//>`}
    ${open?.remove && html`<${Confirm} title="Remove the rule" submit="Remove it" close=${() => setOpen(null)} send=${() => remove(`${path}/rules/${open.remove.id}`)} done=${() => done("The rule is removed")}>
      <p>1 of ${count(rules.data.length, "rule")} is removed: certificates with <code><bdi>${open.remove.value}</bdi></code> are let in no longer unless they are registered, and their connections end. Keys stay as they are.</p><//>`}`;
}

function Activity({ path, name }) {
  const [what, setWhat] = useState("");
  const [outcome, setOutcome] = useState("");
  const columns = [
    { id: "what", label: "What", text: (row) => row.operation, show: (row) => html`${action(row.operation)}${row.name && html`<span class="sub"><bdi>${row.name}</bdi></span>`}` },
    { id: "time", label: "When", text: (row) => row.time, show: (row) => html`<${Time} at=${row.time} exact />` },
    { id: "outcome", label: "Outcome", text: (row) => row.outcome, show: (row) => html`<${Tag} kind=${row.outcome === "success" ? "good" : row.outcome === "begun" ? "calm" : "bad"}>${row.outcome}<//>` },
    { id: "who", label: "Who", text: (row) => row.actor_name || row.actor || row.peer, show: (row) => html`<bdi>${row.actor_name || row.actor || row.peer}</bdi>${row.version && html`<span class="sub">KMIP ${row.version}</span>`}` },
    { id: "object", label: "Key", text: (row) => row.object, show: (row) => (row.object ? html`<a href=${href(`/keys/${row.object}`)}><code>${row.object.slice(0, 8)}…</code></a>` : "–") },
    { id: "correlation", label: "Reference", text: (row) => row.correlation, only: "csv" },
  ];
  return html`<${Card} title="Activity"><div class="row">
      <${Field} label="What was done" name="what" value=${what} set=${setWhat} options=${[["", "Everything"], ["Create", "Keys made (Create)"], ["Get", "Keys handed out (Get)"], ["Destroy", "Keys destroyed (Destroy)"], ["certificate.*", "Certificates"], ["adapter.*", "The adapter itself"]]} />
      <${Field} label="Outcome" name="outcome" value=${outcome} set=${setOutcome} options=${[["", "Any"], ["success", "It worked"], ["failure", "It failed or was refused"]]} /></div>
    <${Listing} name=${`Activity of ${name}`} path=${`${path}/activity`} query=${{ action: what, outcome: outcome || "ended" }} columns=${columns} keyed="sequence" most=${20000} empty=${html`<${Empty} title="Nothing on record">What the adapter's clients and administrators do appears here at once.<//>`} /><//>`;
}

function Policy({ path, adapter, may, put, reload }) {
  const form = useForm({ name: adapter.name, description: adapter.description || "", hold: String(adapter.hold_seconds) });
  const saving = useAct(() => change("PATCH", path, adapter.revision, { name: form.values.name.trim(), description: form.values.description.trim() || null, hold_seconds: Number(form.values.hold) }));
  const [open, setOpen] = useState(null);
  const login = useForm({ user: adapter.credential_user || "", password: "" });
  if (!may) {
    return html`<${Card} title="Policy"><${Facts} of=${[["When a key is destroyed", adapter.hold_seconds ? `held for ${duration(adapter.hold_seconds)}` : "erased at once"], ["KMIP user name", adapter.credential_user || "none"]]} /><//>`;
  }
  return html`<div class="columns"><${Card} title="Name and policy"><form onSubmit=${async (event) => { event.preventDefault(); const now = await saving.act(); if (now) put(now); }}>
      <${Field} label="Name" ...${form.bind("name")} required minlength="2" maxlength="40" problem=${saving.problem} />
      <${Field} label="Description" ...${form.bind("description")} maxlength="240" problem=${saving.problem} />
      <${Hold} ...${form.bind("hold")} problem=${saving.problem} />
      <${ProblemBox} problem=${saving.problem} retry=${saving.problem?.status === 412 ? reload : undefined} />
      <button type="submit" aria-busy=${saving.busy ? "true" : undefined} disabled=${saving.busy}>Save</button></form><//>
    <${Card} title="KMIP user name and password">
      <p>Some clients give a user name and password as well as their certificate. Where one is set here, a client that gives one must give this one. It is a check, not a second factor: a client that gives none is let in by its certificate.</p>
      <${Facts} of=${[["User name", adapter.credential_user ? html`<bdi>${adapter.credential_user}</bdi>` : "none is set"]]} />
      <div class="actions"><${Button} kind="secondary outline" onClick=${() => setOpen("set")}>${adapter.credential_user ? "Change…" : "Set…"}<//>
        ${adapter.credential_user && html`<${Button} kind="danger outline" onClick=${() => setOpen("clear")}>Remove…<//>`}</div><//>
    ${open === "set" && html`<${FormDialog} title="KMIP user name and password" submit="Set" close=${() => setOpen(null)} done=${() => { setOpen(null); say("The credential is set"); reload(); }}
      send=${async () => { await change("PUT", `${path}/credential`, adapter.revision, login.values); return true; }}>${(problem) => html`
      <${Field} label="User name" ...${login.bind("user")} required maxlength="255" autocomplete="off" problem=${problem} />
      <${Field} label="Password" ...${login.bind("password")} kind="password" required maxlength="1024" autocomplete="new-password" problem=${problem} help="Only a hash of it is kept." />`}<//>`}
    ${open === "clear" && html`<${Confirm} title="Remove the user name and password" submit="Remove" close=${() => setOpen(null)} send=${() => remove(`${path}/credential`, adapter.revision)} done=${() => { setOpen(null); say("The credential is removed"); reload(); }}>
      <p>From then on user names and passwords that clients give are not compared with anything. Clients are let in by their certificates, as before.</p><//>`}</div>`;
}

// Identities: people and programs that administer, their roles and API keys.
import { html, useState } from "../view.js";
import { all, change, get, post, remove } from "../api.js";
import { Icon } from "../icons.js";
import { go, href } from "../route.js";
import { Button, Card, CopyBox, Empty, Facts, Field, Id, Loaded, Notice, Page, PemField, say, Tag, Time, useForm, useLoad } from "../ui.js";
import { Confirm, FormDialog, ShownOnce } from "../dialogs.js";
import { Table } from "../table.js";
import { useSession } from "../session.js";
import { count } from "../format.js";
import { roles } from "../words.js";

export default ({ parts }) => (parts[1] ? html`<${Identity} id=${parts[1]} />` : html`<${List} />`);

const kinds = { service: "Service", operator: "Person", bootstrap: "Set-up token" };
const role = (name) => roles[name]?.[0] || name;
const Roles = ({ grants, adapters }) => (grants.length === 0 ? html`<span class="quiet">none</span>` : grants.map((grant) => html`<${Tag}>${role(grant.role)}${grant.adapter && html`: <bdi>${adapters?.find((one) => one.id === grant.adapter)?.name || "one adapter"}</bdi>`}<//> `));

function List() {
  const { may } = useSession();
  const people = useLoad((signal) => all("/v1/identities", {}, { signal }));
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }).catch(() => []));
  const [making, setMaking] = useState(false);
  const form = useForm({ kind: "operator", name: "", description: "", grants: [] });
  const make = may("identity.create") && html`<${Button} onClick=${() => setMaking(true)}><${Icon} name="plus" />New identity<//>`;
  const columns = [
    { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<a href=${href(`/identities/${row.id}`)}><bdi>${row.name}</bdi></a>${row.description && html`<span class="sub"><bdi>${row.description}</bdi></span>`}` },
    { id: "kind", label: "Kind", text: (row) => kinds[row.kind] || row.kind },
    { id: "roles", label: "Roles", text: (row) => row.grants.map((grant) => role(grant.role)).join(", "), show: (row) => html`<${Roles} grants=${row.grants} adapters=${adapters.data} />` },
    { id: "state", label: "State", text: (row) => (row.disabled ? "Disabled" : "Enabled"), show: (row) => html`<${Tag} kind=${row.disabled ? "off" : "good"}>${row.disabled ? "Disabled" : "Enabled"}<//>` },
    { id: "made", label: "Made", text: (row) => row.created_at, show: (row) => html`<${Time} at=${row.created_at} day />` },
    { id: "id", label: "Identifier", text: (row) => row.id, only: "csv" },
  ];
  return html`<${Page} title="Identities" actions=${make} lead="People and programs that administer this server, and what each may do. They are not the clients that use keys: those connect with the certificates of an adapter.">
    <${Loaded} of=${people}>${(rows) => html`<${Table} name="Identities" rows=${rows} columns=${columns} sort=${["name", "up"]} />`}<//>
    ${making && html`<${FormDialog} title="New identity" submit="Make it" wide close=${() => setMaking(false)} done=${(made) => { say(`${made.name} is made`); go(`/identities/${made.id}`); }}
      send=${(key) => post("/v1/identities", { kind: form.values.kind, name: form.values.name.trim(), description: form.values.description.trim() || null, grants: form.values.grants }, key)}>${(problem) => html`
      <${Field} label="Kind" ...${form.bind("kind")} options=${[["operator", "A person (API key or client certificate)"], ["service", "A program (API keys)"]]} />
      <${Field} label="Name" ...${form.bind("name")} required minlength="2" maxlength="40" problem=${problem} />
      <${Field} label="Description (optional)" ...${form.bind("description")} maxlength="240" problem=${problem} />
      <${Grants} value=${form.values.grants} set=${(grants) => form.set("grants", grants)} adapters=${adapters.data || []} />`}<//>`}<//>`;
}

/** Roles, each everywhere or for one adapter. */
function Grants({ value, set, adapters }) {
  const put = (place, part) => set(value.map((grant, other) => (other === place ? { ...grant, ...part } : grant)));
  return html`<fieldset><legend>Roles</legend>
    ${value.map((grant, place) => html`<div class="row" key=${place}>
      <${Field} label=${`Role ${place + 1}`} name="role" value=${grant.role} set=${(role) => put(place, { role })} options=${Object.entries(roles).map(([name, [text]]) => [name, text])} help=${roles[grant.role]?.[1]} />
      <${Field} label="Where" name="where" value=${grant.adapter || ""} set=${(adapter) => put(place, { adapter: adapter || null })} options=${[["", "Everywhere"], ...adapters.map((one) => [one.id, `Adapter ${one.name}`])]} />
      <${Button} kind="small secondary outline" aria-label=${`Take away role ${place + 1}`} onClick=${() => set(value.filter((_, other) => other !== place))}>Take away<//></div>`)}
    <${Button} kind="small secondary outline" onClick=${() => set([...value, { role: "viewer", adapter: null }])}><${Icon} name="plus" />Add a role<//></fieldset>`;
}

function Identity({ id }) {
  const path = `/v1/identities/${id}`;
  const { may, who } = useSession();
  const loaded = useLoad((signal) => get(path, signal), [path]);
  const keys = useLoad((signal) => all(`${path}/api-keys`, {}, { signal }), [path]);
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }).catch(() => []));
  const people = useLoad((signal) => all("/v1/identities", {}, { signal }).catch(() => []));
  const [open, setOpen] = useState(null);
  const form = useForm({});
  const one = loaded.data;
  const self = id === who.identity;
  const manage = may("identity.create") && one && one.kind !== "bootstrap";
  const done = (text) => (now) => { setOpen(null); say(text); if (now?.id) loaded.put(now); else loaded.reload(); };
  const edit = () => { form.set("grants", one.grants); form.set("name", one.name); form.set("description", one.description || ""); form.set("pem", ""); setOpen("edit"); };
  const usable = (keys.data || []).filter((key) => key.usable).length;
  const columns = [
    { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<bdi>${row.name}</bdi>` },
    { id: "state", label: "State", text: (row) => (row.usable ? "Good" : row.revoked_at ? "Revoked" : "Expired"), show: (row) => html`<${Tag} kind=${row.usable ? "good" : "off"}>${row.usable ? "Good" : row.revoked_at ? "Revoked" : "Expired"}<//>` },
    { id: "made", label: "Made", text: (row) => row.created_at, show: (row) => html`<${Time} at=${row.created_at} day />` },
    { id: "used", label: "Last used", text: (row) => row.used_at, show: (row) => html`<${Time} at=${row.used_at} ago none="never" />` },
    { id: "ends", label: "Expires", text: (row) => row.expires_at, show: (row) => html`<${Time} at=${row.expires_at} day none="never" />` },
    may("identity.delete") && { id: "revoke", label: "", only: "page", show: (row) => row.usable && html`<${Button} kind="small danger outline" aria-label=${`Revoke ${row.name}`} onClick=${() => setOpen({ revoke: row })}>Revoke…<//>` },
  ].filter(Boolean);
  const actions = one && html`${manage && html`<${Button} kind="secondary outline" onClick=${edit}>Change…<//><${Button} kind="secondary outline" onClick=${() => setOpen("able")} disabled=${self}>${one.disabled ? "Enable…" : "Disable…"}<//>`}
    ${may("identity.delete") && !self && html`<${Button} kind="danger outline" onClick=${() => setOpen("delete")}>Delete…<//>`}`;
  return html`<${Page} kind=${one ? kinds[one.kind] : "Identity"} title=${one?.name || "Identity"} up=${["/identities", "Identities"]} lead=${one?.description && html`<bdi>${one.description}</bdi>`} badge=${one?.disabled && html`<${Tag} kind="off">Disabled<//>`} actions=${actions}>
    <${Loaded} of=${loaded}>${() => html`
      ${self && html`<${Notice}>This is you. Nobody changes their own roles: another administrator can.<//>`}
      <${Card} title="What it may do"><ul class="list">${one.grants.map((grant) => html`<li><span><strong>${role(grant.role)}</strong> <span class="quiet">${roles[grant.role]?.[1]}</span></span><span>${grant.adapter ? html`<a href=${href(`/adapters/${grant.adapter}`)}><bdi>${adapters.data?.find((other) => other.id === grant.adapter)?.name || "one adapter"}</bdi></a>` : "everywhere"}</span></li>`)}
        ${one.grants.length === 0 && html`<li>It has no role, so it may do nothing.</li>`}</ul>
        <${Facts} of=${[["Client certificate", one.certificate ? html`<${Id} value=${one.certificate.fingerprint} what="fingerprint" length="12" /> until <${Time} at=${one.certificate.not_after} day />` : "none"], ["Made", html`<${Time} at=${one.created_at} />`], one.given_by?.length > 0 && ["Access given by", html`<bdi>${one.given_by.map((giver) => people.data?.find((other) => other.id === giver)?.name || giver.slice(0, 8)).join(", ")}</bdi><span class="quiet">: none of them decides on what this identity asks for</span>`], ["Identifier", html`<${Id} value=${id} length="13" />`]]} /><//>
      <${Card} title="API keys" action=${manage && html`<${Button} kind="small" onClick=${() => { form.set("key", ""); form.set("days", "365"); setOpen("key"); }}><${Icon} name="plus" />New API key<//>`}>
        <${Loaded} of=${keys}>${(rows) => html`<${Table} name=${`API keys of ${one.name}`} rows=${rows} columns=${columns} empty=${html`<${Empty} title="No API key">With an API key ${one.kind === "service" ? "the program" : "this person"} signs in. It is shown once, when it is made.<//>`} />`}<//><//>
      ${open === "edit" && html`<${FormDialog} title=${`Change ${one.name}`} submit="Save" wide close=${() => setOpen(null)} done=${done("Saved")}
        send=${() => change("PATCH", path, one.revision, { name: form.values.name.trim(), description: form.values.description.trim() || null, ...(self ? {} : { grants: form.values.grants }), ...(form.values.pem.trim() ? { certificate_pem: form.values.pem } : {}) })}>${(problem) => html`
        <${Field} label="Name" ...${form.bind("name")} required minlength="2" maxlength="40" problem=${problem} />
        <${Field} label="Description" ...${form.bind("description")} maxlength="240" problem=${problem} />
        ${!self && html`<${Grants} value=${form.values.grants} set=${(grants) => form.set("grants", grants)} adapters=${adapters.data || []} />`}
        ${one.kind === "operator" && html`<${PemField} label="Client certificate to sign in with (optional)" name="certificate_pem" value=${form.values.pem} set=${(pem) => form.set("pem", pem)} required=${false} problem=${problem} help=${one.certificate ? "Left empty, the present one stays." : "The person's browser holds its private key."} />`}`}<//>`}
      ${open === "able" && html`<${Confirm} title=${one.disabled ? `Enable ${one.name}` : `Disable ${one.name}`} submit=${one.disabled ? "Enable" : "Disable"} danger=${!one.disabled} close=${() => setOpen(null)} done=${done(one.disabled ? "Enabled" : "Disabled")}
        send=${() => change("PATCH", path, one.revision, { disabled: !one.disabled })}><p>${one.disabled ? `Its ${count(usable, "API key")} and its roles are good again at once.` : `Its sessions end and its ${count(usable, "API key")} stop working at once. Nothing is deleted: it can be enabled again.`}</p><//>`}
      ${open === "delete" && html`<${Confirm} title=${`Delete ${one.name}`} submit="Delete" close=${() => setOpen(null)} send=${() => remove(path, one.revision)} done=${() => { say("Deleted"); go("/identities"); }}>
        <p>1 identity with ${count(usable, "usable API key")} and ${count(one.grants.length, "role")} is deleted; its sessions end at once. The audit log keeps what it did.</p><//>`}
      ${open === "key" && html`<${FormDialog} title="New API key" submit="Make it" close=${() => setOpen(null)} done=${(made) => { setOpen({ made }); keys.reload(); }}
        send=${(key) => post(`${path}/api-keys`, { name: form.values.key.trim(), expires_in_days: Number(form.values.days) }, key)}>${(problem) => html`
        <${Field} label="Name" name="name" value=${form.values.key} set=${(name) => form.set("key", name)} required minlength="2" maxlength="40" problem=${problem} placeholder="laptop" help="So that you know which one to revoke." />
        <${Field} label="Good for days" name="expires_in_days" value=${form.values.days} set=${(days) => form.set("days", days)} kind="number" min="1" max="3660" required problem=${problem} />`}<//>`}
      ${open?.made && html`<${ShownOnce} title="The new API key" close=${() => setOpen(null)}><${Notice} kind="warn" title="It is shown this once">The server keeps only a digest of it. Give it to <bdi>${one.name}</bdi> in a safe way.<//><${CopyBox} label="API key" text=${open.made.key} /><//>`}
      ${open?.revoke && html`<${Confirm} title=${`Revoke ${open.revoke.name}`} submit="Revoke it" close=${() => setOpen(null)} send=${() => remove(`${path}/api-keys/${open.revoke.id}`)} done=${() => { setOpen(null); say("Revoked"); keys.reload(); }}>
        <p>1 of ${count(usable, "usable API key")} stops working at once, and sessions begun with it end. It cannot be made good again. It was used last <${Time} at=${open.revoke.used_at} ago none="never" />.</p><//>`}`}<//><//>`;
}


// Keys: found by name, identifier, attribute, state and date; one of them with all that may be known of it.
import { html, useState } from "../view.js";
import { all, change, get } from "../api.js";
import { become, href } from "../route.js";
import { Badge, Button, Card, Empty, Facts, Field, Id, Loaded, Notice, Page, ProblemBox, say, Tag, Time, useAct, useForm, useLoad } from "../ui.js";
import { Destroy } from "../dialogs.js";
import { Listing, Table } from "../table.js";
import { useSession } from "../session.js";
import { short } from "../format.js";
import { objectStates } from "../words.js";

export default ({ parts, query }) => (parts[1] ? html`<${Key} id=${parts[1]} />` : html`<${Search} query=${query} />`);

const attribute = (row, name) => row.attributes.find((one) => one.name === name)?.value;
/** What a key is called: its own name, or what a client noted about it. */
const called = (row) => row.names[0] || attribute(row, "x-Name") || "";

export const keyColumns = (adapters) => [
  { id: "name", label: "Key", text: called, show: (row) => html`<a href=${href(`/keys/${row.id}`)}>${called(row) ? html`<bdi>${called(row)}</bdi>` : html`<code>${short(row.id, 13)}</code>`}</a>
    <span class="sub">${called(row) && html`<code>${short(row.id, 13)}</code> `}${attribute(row, "x-Component") && html`<bdi>${attribute(row, "x-Component")}</bdi>`}</span>` },
  { id: "state", label: "State", text: (row) => objectStates[row.state]?.[0] || row.state, show: (row) => html`<${Badge} of=${objectStates} is=${row.state} />${row.held_until && html` <${Tag} kind="warn">held<//>`}` },
  { id: "kind", label: "Kind", text: (row) => [row.algorithm, row.length_bits].filter(Boolean).join(" ") || row.type },
  adapters && { id: "adapter", label: "Adapter", text: (row) => adapters.find((one) => one.id === row.adapter)?.name || row.adapter, show: (row) => html`<a href=${href(`/adapters/${row.adapter}`)}><bdi>${adapters.find((one) => one.id === row.adapter)?.name || short(row.adapter)}</bdi></a>` },
  { id: "made", label: "Made", text: (row) => row.dates.initial, show: (row) => html`<${Time} at=${row.dates.initial} />` },
  { id: "used", label: "Last handed out", text: (row) => row.last_use?.at, show: (row) => html`<${Time} at=${row.last_use?.at} ago none=${row.fetched ? "before records" : "never"} />` },
  { id: "id", label: "Identifier", text: (row) => row.id, only: "csv" },
  { id: "type", label: "Type", text: (row) => row.type, only: "csv" },
  { id: "attributes", label: "Attributes", text: (row) => row.attributes.map((one) => `${one.name}=${one.value}`).join("; "), only: "csv" },
].filter(Boolean);

// A day that the viewer chose, as the moment it begins for them.
const begins = (day, plus = 0) => {
  if (!day) return "";
  const moment = new Date(`${day}T00:00:00`);
  moment.setDate(moment.getDate() + plus);
  return moment.toISOString().replace(/\.\d+/, "");
};
const asked = (query) => ({
  name_contains: query.name, identifier: query.id, attribute: query.attribute && (query.attribute.includes(":") ? query.attribute : `x-Name:${query.attribute}`),
  adapter: query.adapter, state: query.state, type: query.type, created_from: begins(query.from), created_to: begins(query.to, 1), unused_since: begins(query.unused), held: query.held,
});

function Search({ query }) {
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }));
  const form = useForm(query);
  const search = (event) => { event.preventDefault(); become("/keys", form.values); };
  const more = ["attribute", "type", "from", "to", "unused", "held"].some((name) => query[name]);
  return html`<${Page} title="Keys" lead="Everything that clients keep here, without its content: key material never leaves by this console. Find the key of a disk or machine by the name or identifier that vCenter knows.">
    <${Card}><form onSubmit=${search} role="search">
      <div class="row"><${Field} label="Name contains" ...${form.bind("name")} placeholder="db-1" />
        <${Field} label="Identifier" ...${form.bind("id")} placeholder="whole, or its beginning" />
        <${Field} label="State" ...${form.bind("state")} options=${[["", "Any"], ...Object.entries(objectStates).map(([state, [text]]) => [state, text])]} />
        <${Field} label="Adapter" ...${form.bind("adapter")} options=${[["", "Any"], ...(adapters.data || []).map((one) => [one.id, one.name])]} /></div>
      <details open=${more}><summary>More to search by</summary>
        <div class="row"><${Field} label="Attribute" ...${form.bind("attribute")} placeholder="x-Name:db-1" help="NAME:VALUE, exactly. vCenter notes the machine as x-Name and x-Identifier." />
          <${Field} label="Type" ...${form.bind("type")} options=${[["", "Any"], ["SymmetricKey", "Symmetric key"], ["SecretData", "Secret data"], ["PrivateKey", "Private key"], ["PublicKey", "Public key"], ["Certificate", "Certificate"], ["OpaqueObject", "Opaque object"]]} />
          <${Field} label="Destroyed, still held" ...${form.bind("held")} options=${[["", "Does not matter"], ["true", "Only these"]]} /></div>
        <div class="row"><${Field} label="Made from" ...${form.bind("from")} kind="date" /><${Field} label="Made until" ...${form.bind("to")} kind="date" /><${Field} label="Not handed out since" ...${form.bind("unused")} kind="date" /></div></details>
      <div class="actions"><button type="submit">Search</button>${Object.values(query).some(Boolean) && html`<a role="button" class="secondary outline" href=${href("/keys")} onClick=${() => Object.keys(form.values).forEach((name) => form.set(name, ""))}>Clear</a>`}</div></form><//>
    <${Listing} name="Keys" path="/v1/objects" query=${asked(query)} columns=${keyColumns(adapters.data || [])}
      empty=${Object.values(query).some(Boolean) ? html`<${Empty} title="No key fits">Search by less, or by another part of the name. Names and attributes are those that the client gave.<//>`
        : html`<${Empty} title="No keys yet" action=${html`<a role="button" href=${href("/connect")}>Connect a client</a>`}>Clients make the keys. Connect one, and its first key appears here.<//>`} /><//>`;
}

function Key({ id }) {
  const path = `/v1/objects/${id}`;
  const { may } = useSession();
  const loaded = useLoad((signal) => get(path, signal), [path]);
  const adapter = useLoad((signal) => (loaded.data ? get(`/v1/adapters/${loaded.data.adapter}`, signal) : Promise.resolve(null)), [loaded.data?.adapter]);
  const [destroying, setDestroying] = useState(false);
  const key = loaded.data;
  const recovering = useAct(() => change("POST", `${path}/recover`, key.revision));
  const gone = key && key.state.startsWith("Destroyed");
  const mayDelete = key && may("kmip-management.delete", key.adapter);
  const recover = async () => { const now = await recovering.act(); if (now) { loaded.put(now); say("The key is recovered"); } };
  const actions = key && html`
    ${key.held_until && mayDelete && html`<${Button} busy=${recovering.busy} onClick=${recover}>Recover it<//>`}
    ${!gone && (mayDelete || may("approval.request", key.adapter)) && html`<${Button} kind="danger outline" onClick=${() => setDestroying(true)}>Destroy…<//>`}`;
  const dates = key && [["Made", "initial"], ["Activated", "activation"], ["May process from", "process_start"], ["Protects until", "protect_stop"], ["Deactivated", "deactivation"], ["Compromised", "compromise"], ["Destroyed", "destroy"], ["Changed last", "last_change"]];
  return html`<${Page} kind="Key" title=${key ? called(key) || short(id, 18) : "Key"} up=${["/keys", "Keys"]} badge=${key && html`<${Badge} of=${objectStates} is=${key.state} />`} actions=${actions}
    lead=${key && objectStates[key.state]?.[2]}>
    <${Loaded} of=${loaded}>${() => html`
      <${ProblemBox} problem=${recovering.problem} />
      ${key.held_until && html`<${Notice} kind="warn" title="Destroyed, but held">Its material is out of everybody's reach and is erased <${Time} at=${key.held_until} />. Until then it can be recovered.<//>`}
      <${Card} title="What it is"><${Facts} of=${[
        ["Unique identifier", html`<${Id} value=${id} whole />`],
        ["Names", key.names.length ? html`<bdi>${key.names.join(", ")}</bdi>` : "none"],
        ["Kind", [key.type, key.algorithm, key.length_bits && `${key.length_bits} bits`].filter(Boolean).join(", ")],
        ["Adapter", html`<a href=${href(`/adapters/${key.adapter}`)}><bdi>${adapter.data?.name || short(key.adapter)}</bdi></a>`],
        ["Protected by", key.sealed_under ? html`<a href=${href(`/root-keys/${key.sealed_under.root_key}`)}><bdi>${adapter.data?.root_key.label || "root key"}</bdi></a>, version ${key.sealed_under.version}` : "nothing: its material is gone"],
        ["Handed out last", key.last_use ? html`<${Time} at=${key.last_use.at} /> to <${Id} value=${key.last_use.certificate} what="fingerprint" length="12" />` : key.fetched ? "before records were kept" : "never"],
      ]} /><//>
      <${Card} title="Its life"><${Facts} of=${dates.filter(([, name]) => key.dates[name]).map(([text, name]) => [text, html`<${Time} at=${key.dates[name]} exact />`])} /><//>
      <${Card} title="Attributes"><p class="quiet">Clients gave them. Of byte strings only the length is shown.</p>
        <${Table} name="Attributes" rows=${key.attributes.map((one) => ({ ...one, id: `${one.name}/${one.index}` }))} columns=${[
          { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<bdi>${row.name}</bdi>` }, { id: "value", label: "Value", text: (row) => row.value, show: (row) => html`<bdi>${row.value}</bdi>` }]}
          filter=${key.attributes.length > 10} empty=${html`<p class="quiet">It has no further attributes.</p>`} /><//>
      ${destroying && html`<${Destroy} title="Destroy this key" verb="Destroy the key" impact=${`${path}/impact`} needs=${(report) => report.active_objects > 0 || !mayDelete}
        deed=${() => change("DELETE", path, key.revision)} action="object.destroy" subject=${id} mayAsk=${may("approval.request", key.adapter)}
        close=${() => setDestroying(false)} done=${() => { setDestroying(false); say("The key is destroyed"); loaded.reload(); }} />`}`}<//><//>`;
}


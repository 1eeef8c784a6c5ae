// Adapters: the tenants of the server, and how one is made.
import { html, useState } from "../view.js";
import { all, post } from "../api.js";
import { Icon } from "../icons.js";
import { go, href } from "../route.js";
import { Badge, Button, Empty, Field, Loaded, Notice, Page, say, Time, useForm, useLoad } from "../ui.js";
import { FormDialog } from "../dialogs.js";
import { Table } from "../table.js";
import { useSession } from "../session.js";
import { adapterStates } from "../words.js";
import Adapter from "./adapter.js";

export default ({ parts, query }) => (parts[1] ? html`<${Adapter} id=${parts[1]} tab=${query.tab} />` : html`<${List} />`);

const columns = [
  { id: "name", label: "Name", text: (row) => row.name, show: (row) => html`<a href=${href(`/adapters/${row.id}`)}><bdi>${row.name}</bdi></a>${row.description && html`<span class="sub"><bdi>${row.description}</bdi></span>`}` },
  { id: "state", label: "State", text: (row) => adapterStates[row.state]?.[0] || row.state, show: (row) => html`<${Badge} of=${adapterStates} is=${row.state} />` },
  { id: "root", label: "Root key", text: (row) => row.root_key.label || row.root_key.id, show: (row) => html`<a href=${href(`/root-keys/${row.root_key.id}`)}><bdi>${row.root_key.label || "unnamed"}</bdi></a>` },
  { id: "keys", label: "Keys", end: true, text: (row) => row.objects.live },
  { id: "certificates", label: "Certificates", end: true, text: (row) => row.certificates },
  { id: "created", label: "Made", text: (row) => row.created_at, show: (row) => html`<${Time} at=${row.created_at} day />` },
  { id: "id", label: "Identifier", text: (row) => row.id, only: "csv" },
];

function List() {
  const { may } = useSession();
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }));
  const [making, setMaking] = useState(false);
  const make = may("kmip-management.create") && html`<${Button} onClick=${() => setMaking(true)}><${Icon} name="plus" />New adapter<//>`;
  return html`<${Page} title="Adapters" lead="An adapter is a tenant: one client system (a vCenter, a storage cluster), the certificates it connects with, and the keys it makes. Adapters never see each other's keys." actions=${make}>
    <${Loaded} of=${adapters}>${(rows) => html`<${Table} name="Adapters" rows=${rows} columns=${columns} sort=${["name", "up"]}
      empty=${html`<${Empty} title="No adapter yet" action=${make}>Make one for each system that will keep its keys here. It needs a root key, which protects everything under it.<//>`} />`}<//>
    ${making && html`<${NewAdapter} close=${() => setMaking(false)} done=${(made) => { say(`Adapter ${made.name} is made`); go(`/adapters/${made.id}`); }} />`}<//>`;
}

export function NewAdapter({ close, done, name = "" }) {
  const keys = useLoad((signal) => all("/v1/root-keys", {}, { signal }));
  const form = useForm({ name, description: "", root_key: "", hold: "0" });
  const usable = (keys.data || []).filter((key) => key.state === "active");
  const root = form.values.root_key || (usable.length === 1 ? usable[0].id : "");
  const send = (key) => post("/v1/adapters", {
    name: form.values.name.trim(), description: form.values.description.trim() || null, root_key: root, hold_seconds: Number(form.values.hold),
  }, key);
  return html`<${FormDialog} title="New adapter" submit="Make it" close=${close} done=${done} send=${send} blocked=${!root}>${(problem) => html`
    <${Field} label="Name" ...${form.bind("name")} required minlength="2" maxlength="40" problem=${problem} placeholder="vcenter-site-a" help="2 to 40 characters. It can be changed later." />
    <${Field} label="Description (optional)" ...${form.bind("description")} maxlength="240" problem=${problem} />
    ${keys.data && usable.length === 0
      ? html`<${Notice} kind="warn" title="There is no root key yet">Every adapter needs one. <a href=${href("/root-keys", { new: 1 })}>Make a root key first</a>.<//>`
      : html`<${Field} label="Root key" name="root_key" value=${root} set=${(value) => form.set("root_key", value)} required problem=${problem}
          options=${[["", keys.data ? "Choose one" : "Loading…"], ...usable.map((key) => [key.id, `${key.label} (version ${key.current_version})`])]}
          help="It protects all of the adapter's keys, for ever. Destroying it destroys them." />`}
    <${Hold} ...${form.bind("hold")} problem=${problem} />`}<//>`;
}

export const holds = [["0", "Erase at once"], ["86400", "Hold for 1 day"], ["604800", "Hold for 7 days"], ["2592000", "Hold for 30 days"], ["7776000", "Hold for 90 days"], ["31536000", "Hold for a year"]];
export const Hold = ({ value, set, problem }) => html`<${Field} label="When a key is destroyed" name="hold_seconds" value=${value} set=${set} problem=${problem}
  options=${holds.some(([seconds]) => seconds === value) ? holds : [...holds, [value, `Hold for ${value} seconds`]]}
  help="Held material is out of everybody's reach, but can be recovered until the hold ends." />`;

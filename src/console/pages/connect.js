// Connecting a client, step by step: which kind of client, which adapter, and then what to paste where.
import { html, useState } from "../view.js";
import { all, get } from "../api.js";
import { Icon } from "../icons.js";
import { become, href } from "../route.js";
import { Button, Field, Loaded, Notice, Page, say, useLoad } from "../ui.js";
import { useSession } from "../session.js";
import { NewAdapter } from "./adapters.js";
import { Element, Ontap, Plain, Vcenter } from "./connecting.js";

const kinds = [
  ["vcenter", "VMware vCenter", "VM encryption and vSAN, as a standard key provider", Vcenter],
  ["ontap", "NetApp ONTAP", "Volume and aggregate encryption, self-encrypting drives", Ontap],
  ["element", "NetApp Element", "SolidFire and HCI clusters, by their API", Element],
  ["kmip", "Another KMIP client", "Databases, backup programs, storage arrays", Plain],
];

export default function Connect({ query }) {
  const { may } = useSession();
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }));
  // Whoever manages one adapter only may not see the server itself; the guide does without what it would say.
  const server = useLoad((signal) => (may("config.read") ? get("/v1/server", signal) : Promise.resolve({ kmip_listen: [], names: [], ca_pem: "", certificate: null })));
  const [making, setMaking] = useState(false);
  const set = (part) => become("/connect", { ...query, ...part });
  const kind = kinds.find(([id]) => id === query.kind);
  const adapter = adapters.data?.find((one) => one.id === query.adapter);
  const usable = (adapters.data || []).filter((one) => may("kmip-management.create", one.id));
  return html`<${Page} title="Connect a client" lead="What to paste there, what to paste here, and a line that tells what the server sees while you do it.">
    <h2 class="hidden">What kind of client?</h2>
    <nav class="choices" aria-label="Kind of client">${kinds.map(([id, name, what]) => html`<a class="choice" href=${href("/connect", { ...query, kind: id })} aria-current=${id === query.kind ? "true" : undefined}><strong>${name}</strong><span>${what}</span></a>`)}</nav>
    ${kind && html`<${Loaded} of=${adapters}>${() => html`<${Loaded} of=${server}>${(info) => html`<ol class="steps">
      <li class=${adapter ? "done" : ""}><h2>Choose its adapter</h2>
        <p>The adapter keeps this client's keys apart from everybody else's. Use one for each ${kind[0] === "vcenter" ? "key provider" : "cluster or program"}.</p>
        <div class="row"><${Field} label="Adapter" name="adapter" value=${query.adapter || ""} set=${(adapter) => set({ adapter })} options=${[["", usable.length ? "Choose one" : "There is none yet"], ...usable.map((one) => [one.id, `${one.name} (root key ${one.root_key.label || "unnamed"})`])]} />
          ${may("kmip-management.create") && html`<${Button} kind="secondary outline" onClick=${() => setMaking(true)}><${Icon} name="plus" />New adapter<//>`}</div>
        ${adapter && adapter.state !== "active" && html`<${Notice} kind="warn">This adapter hands out no keys: its root key is not active.<//>`}</li>
      ${adapter && html`<${kind[3]} key=${`${kind[0]}/${adapter.id}`} adapter=${adapter} server=${info} method=${query.method} setMethod=${(method) => set({ method })} />`}</ol>`}<//>`}<//>`}
    ${making && html`<${NewAdapter} close=${() => setMaking(false)} done=${(made) => { setMaking(false); adapters.reload(); set({ adapter: made.id }); say(`Adapter ${made.name} is made`); }} />`}<//>`;
}

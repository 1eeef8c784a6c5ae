// Root keys: made, rotated, suspended, attested, destroyed; and what is under them.
import { html, useEffect, useRef, useState } from "../view.js";
import { all, get, post } from "../api.js";
import { Icon } from "../icons.js";
import { become, go, href } from "../route.js";
import { Badge, Button, Card, Check, Empty, Facts, Field, Id, Loaded, Notice, Page, ProblemBox, Progress, say, Time, useAct, useForm, useLoad } from "../ui.js";
import { Confirm, Destroy, FormDialog } from "../dialogs.js";
import { Table } from "../table.js";
import { useSession } from "../session.js";
import { count, download, duration, fileName, number } from "../format.js";
import { inMemory, rootKeyStates, versionStates } from "../words.js";

export default ({ parts, query }) => (parts[1] ? html`<${RootKey} id=${parts[1]} />` : html`<${List} query=${query} />`);

const running = (key) => key.rotation && !key.rotation.finished_at;
const columns = [
  { id: "label", label: "Label", text: (row) => row.label, show: (row) => html`<a href=${href(`/root-keys/${row.id}`)}><bdi>${row.label}</bdi></a>` },
  { id: "state", label: "State", text: (row) => rootKeyStates[row.state]?.[0] || row.state, show: (row) => html`<${Badge} of=${rootKeyStates} is=${row.state} />${running(row) && html` <span class="badge warn">rotating</span>`}` },
  { id: "version", label: "Version", end: true, text: (row) => row.current_version },
  { id: "adapters", label: "Adapters", text: (row) => row.adapters.map((one) => one.name).join(", "), show: (row) => (row.adapters.length > 3 ? count(row.adapters.length, "adapter") : html`<bdi>${row.adapters.map((one) => one.name).join(", ") || "none"}</bdi>`) },
  { id: "changed", label: "Changed", text: (row) => row.changed_at, show: (row) => html`<${Time} at=${row.changed_at} day />` },
  { id: "id", label: "Identifier", text: (row) => row.id, only: "csv" },
];

function List({ query }) {
  const { may } = useSession();
  const keys = useLoad((signal) => all("/v1/root-keys", {}, { signal }));
  const [making, setMaking] = useState(Boolean(query.new) && may("root-key.create"));
  const form = useForm({ label: "" });
  const make = may("root-key.create") && html`<${Button} onClick=${() => setMaking(true)}><${Icon} name="plus" />New root key<//>`;
  const close = () => { setMaking(false); become("/root-keys"); };
  return html`<${Page} title="Root keys" actions=${make} lead="A root key is made inside the HSM, the hardware that protects it, and never leaves it. It protects the keys of the adapters under it: whoever destroys it destroys them.">
    <${Loaded} of=${keys}>${(rows) => html`<${Table} name="Root keys" rows=${rows} columns=${columns} sort=${["label", "up"]}
      empty=${html`<${Empty} title="No root key yet" action=${make}>It comes first: an adapter needs one. Most sites have one root key for everything, or one for each department.<//>`} />`}<//>
    ${making && html`<${FormDialog} title="New root key" submit="Make it in the HSM" close=${close} send=${(key) => post("/v1/root-keys", { label: form.values.label.trim() }, key)}
      done=${(made) => { say(`Root key ${made.label} is made`); go(`/root-keys/${made.id}`); }}>${(problem) => html`
      <${Field} label="Label" ...${form.bind("label")} required maxlength="64" problem=${problem} placeholder="production" help="1 to 64 characters. It stays." />
      <${Notice}>The key is made inside the HSM. To bring key material of your own, with a backup that custodians share, use <code>keystead root-key ceremony</code> and <code>root-key import</code> on the server itself: secret material never passes through a browser.<//>`}<//>`}<//>`;
}

function RootKey({ id }) {
  const path = `/v1/root-keys/${id}`;
  const { may } = useSession();
  const [fast, setFast] = useState(0);
  const loaded = useLoad((signal) => get(path, signal), [path, fast], fast);
  const key = loaded.data;
  const rotating = key && running(key);
  const was = useRef(false);
  useEffect(() => {
    if (!key) return;
    setFast(rotating ? 1000 : 0);
    if (was.current && !rotating) say("The rotation is finished");
    was.current = Boolean(rotating);
  }, [key, rotating]);
  const [open, setOpen] = useState(null);
  const attest = useAct((idempotency, version) => post(`${path}/attest`, { version }));
  const done = (text) => (now) => { setOpen(null); say(text); if (now?.id) loaded.put(now); loaded.reload(); };
  const live = key && ["active", "suspended"].includes(key.state);
  const actions = live && html`
    ${key.state === "active" && may("root-key.rotate") && html`<${Button} disabled=${rotating} onClick=${() => setOpen("rotate")}>Rotate…<//>`}
    ${may("root-key.suspend") && html`<${Button} kind="secondary outline" onClick=${() => setOpen(key.state === "active" ? "suspend" : "resume")}>${key.state === "active" ? "Suspend…" : "Resume…"}<//>`}
    ${may("root-key.destroy") && html`<${Button} kind="danger outline" onClick=${() => setOpen("destroy")}>Destroy…<//>`}`;
  const save = (text, what) => download(`${fileName("keystead", key.label, what)}.json`, text, "application/json");
  const statement = async (version) => {
    const made = await attest.act(version);
    if (made) { save(made.statement, `attestation-${version}`); say("The attestation is signed and saved"); loaded.reload(); }
  };
  const versions = [
    { id: "version", label: "Version", text: (row) => row.version },
    { id: "state", label: "State", text: (row) => versionStates[row.state]?.[0] || row.state, show: (row) => html`<${Badge} of=${versionStates} is=${row.state} />` },
    { id: "kcv", label: "Check value (KCV)", text: (row) => row.kcv, show: (row) => html`<code title=${row.kcv_method}>${row.kcv}</code>` },
    { id: "created", label: "Made", text: (row) => row.created_at, show: (row) => html`<${Time} at=${row.created_at} />` },
    { id: "retired", label: "Retired", text: (row) => row.retired_at, show: (row) => html`<${Time} at=${row.retired_at} />` },
    { id: "actions", label: "", only: "page", show: (row) => html`<div class="actions">
      ${row.state !== "retired" && live && may("root-key.attest") && html`<${Button} kind="small secondary outline" busy=${attest.busy} aria-label=${`Attest version ${row.version}`} onClick=${() => statement(row.version)}>Attest<//>`}
      ${row.attestation && html`<${Button} kind="small secondary outline" aria-label=${`Download the attestation of version ${row.version}`} onClick=${() => save(row.attestation, `attestation-${row.version}`)}><${Icon} name="download" />Attestation<//>`}
      ${row.state === "superseded" && live && !rotating && may("root-key.destroy") && html`<${Button} kind="small danger outline" aria-label=${`Retire version ${row.version}`} onClick=${() => setOpen({ retire: row.version })}>Retire…<//>`}</div>` },
  ];
  return html`<${Page} kind="Root key" title=${key?.label || "Root key"} up=${["/root-keys", "Root keys"]} badge=${key && html`<${Badge} of=${rootKeyStates} is=${key.state} />`} actions=${actions} lead=${key && rootKeyStates[key.state]?.[2]}>
    <${Loaded} of=${loaded}>${() => html`
      ${key.rotation && html`<${Rotation} of=${key.rotation} save=${save} />`}
      ${key.destruction_certificate && html`<${Notice} kind="warn" title="Destroyed">Destroyed <${Time} at=${key.destroyed_at} exact />. <button type="button" class="link" onClick=${() => save(key.destruction_certificate, "destruction")}>Download the signed certificate of its destruction</button>.<//>`}
      <${ProblemBox} problem=${attest.problem} />
      <${Card}><${Facts} of=${[["Current version", key.current_version], ["Made", html`<${Time} at=${key.created_at} />`], ["Changed last", html`<${Time} at=${key.changed_at} />`], ["Identifier", html`<${Id} value=${id} length="13" />`],
        ["Adapters", key.adapters.length ? html`${key.adapters.map((one, place) => html`${place > 0 && ", "}<a href=${href(`/adapters/${one.id}`)}><bdi>${one.name}</bdi></a>`)}` : html`none yet`]]} /><//>
      <${Card} title="Versions"><p class="quiet">Rotation adds a version. The check value tells whether two HSMs hold the same key, and says nothing about the key itself. An attestation is a signed statement about where the key lives, for auditors.</p>
        <${Table} name=${`Versions of ${key.label}`} keyed="version" rows=${key.versions} columns=${versions} sort=${["version", "down"]} filter=${key.versions.length > 10} /><//>
      ${open === "rotate" && html`<${Confirm} title=${`Rotate ${key.label}`} submit="Rotate" danger=${false} close=${() => setOpen(null)} send=${() => post(`${path}/rotate`)} done=${done("The rotation has begun")}>
        <p>The HSM makes version ${key.current_version + 1}. Then every key under ${count(key.adapters.length, "adapter")} comes under it, one after the other, in the background. Clients notice nothing and nothing is re-encrypted on their disks.</p>
        <${Counted} path=${path}>${(report) => `${count(report.wrapped_keks ?? report.objects, "key")} will be re-wrapped.`}<//><//>`}
      ${open === "suspend" && html`<${Confirm} title=${`Suspend ${key.label}`} submit="Suspend it" close=${() => setOpen(null)} send=${() => post(`${path}/suspend`)} done=${done("The root key is suspended")}>
        <${Counted} path=${path}>${(report) => html`<strong>${count(report.objects, "key")} of ${count(report.adapters.length, "adapter")} cannot be used, ${number(report.active_objects)} of them in use,</strong> until it is resumed. Nothing is lost.`}<//>
        <${Notice} kind="warn">${inMemory}<//><//>`}
      ${open === "resume" && html`<${Confirm} title=${`Resume ${key.label}`} submit="Resume it" danger=${false} close=${() => setOpen(null)} send=${() => post(`${path}/resume`)} done=${done("The root key is resumed")}>
        <${Counted} path=${path}>${(report) => `${count(report.objects, "key")} of ${count(report.adapters.length, "adapter")} can be used again at once.`}<//><//>`}
      ${open?.retire && html`<${Retire} path=${path} version=${open.retire} close=${() => setOpen(null)} done=${done(`Version ${open.retire} is retired`)} />`}
      ${open === "destroy" && html`<${Destroy} title=${`Destroy ${key.label}`} verb="Destroy" impact=${`${path}/impact`} needs=${() => true} action="root_key.destroy" subject=${id} mayAsk=${may("approval.request")} close=${() => setOpen(null)} done=${done("")} />`}`}<//><//>`;
}

/** Numbers before a question. */
function Counted({ path, children }) {
  const report = useLoad((signal) => get(`${path}/impact`, signal), [path]);
  return html`<${Loaded} of=${report}>${(found) => html`<p>${children(found)}</p>`}<//>`;
}

function Rotation({ of, save }) {
  const running = !of.finished_at;
  const parts = [of.remaining !== null && of.remaining !== undefined && `${number(of.remaining)} to go`, of.per_second && `${number(Math.round(of.per_second))} a second`, of.seconds_left !== null && of.seconds_left !== undefined && `about ${duration(of.seconds_left)} left`].filter(Boolean);
  if (running) {
    return html`<${Card} title=${`Rotation to version ${of.to_version}`}><${Progress} done=${of.done + of.damaged} total=${of.total} label="Rotation" />
      <p role="status" aria-live="polite">${number(of.done)} of ${count(of.total, "key")} re-wrapped${parts.length > 0 && `: ${parts.join(", ")}`}.</p>
      <p class="quiet">Begun <${Time} at=${of.started_at} exact />. It goes on by itself, also after a restart of the server.</p><//>`;
  }
  return html`<${Notice} kind=${of.damaged ? "warn" : "good"} title=${`Rotation to version ${of.to_version} is finished`}>
    ${count(of.done, "key")} re-wrapped, finished <${Time} at=${of.finished_at} exact />.${of.damaged > 0 && ` ${count(of.damaged, "key")} could not be opened and stayed as they were: the server's log names them.`}
    ${of.proof && html` <button type="button" class="link" onClick=${() => save(of.proof, `rotation-${of.to_version}`)}>Download the signed proof</button>.`}<//>`;
}

function Retire({ path, version, close, done }) {
  const [sure, setSure] = useState(false);
  return html`<${Confirm} title=${`Retire version ${version}`} submit=${`Destroy version ${version} in the HSM`} blocked=${!sure} close=${close} done=${done}
    send=${() => post(`${path}/retire`, { version, backups_may_be_lost: true })}>
    <p>0 keys are under this version any more, so no key is lost. It is destroyed in the HSM, and that cannot be undone.</p>
    <${Check} value=${sure} set=${setSure} label="Backups from before the rotation may be lost" help=${`A copy of the database from that time opens with version ${version} only.`} /><//>`;
}


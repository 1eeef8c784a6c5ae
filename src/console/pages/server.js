// The server itself: how it is, the thumbprints to compare, the authority to download, and copies of its database.
import { html, useState } from "../view.js";
import { all, get, post } from "../api.js";
import { Icon } from "../icons.js";
import { Button, Card, CopyBox, Empty, Facts, Id, Loaded, Notice, Page, ProblemBox, say, Tag, Time, useAct, useLoad } from "../ui.js";
import { Confirm } from "../dialogs.js";
import { Table } from "../table.js";
import { useSession } from "../session.js";
import { bytes, count } from "../format.js";

export default function Server() {
  const { may } = useSession();
  const server = useLoad((signal) => get("/v1/server", signal));
  const adapters = useLoad((signal) => all("/v1/adapters", {}, { signal }).catch(() => null));
  const [open, setOpen] = useState(null);
  const done = (text) => (now) => { setOpen(null); say(text); if (now?.version) server.put(now); };
  const write = may("config.write");
  const actions = write && html`<${Button} kind="secondary outline" onClick=${() => setOpen("reload")}>Reload…<//><${Button} kind="secondary outline" onClick=${() => setOpen("renew")}>Renew the certificate…<//>`;
  return html`<${Page} title="Server" actions=${actions} lead="What clients connect to, and what their administrators compare before they trust it.">
    <${Loaded} of=${server}>${(now) => html`
      <${Card} title="State" action=${html`<${Tag} kind=${now.health.ready ? "good" : "bad"}>${now.health.ready ? "Ready" : "Not ready"}<//>`}><${Facts} of=${[
        ["Version", now.version], ["Started", html`<${Time} at=${now.started_at} exact />`], ["KMIP clients connect to", html`<code>${now.kmip_listen.join(", ")}</code>`],
        ...Object.entries(now.health.parts).map(([part, state]) => [part === "hsm" ? "HSM" : part[0].toUpperCase() + part.slice(1), state === "ready" ? html`<${Tag} kind="good">ready<//>` : html`<${Tag} kind="bad">wrong<//> ${state}`])]} /><//>
      <${Card} title="Server certificate">
        <p class="quiet">vCenter shows the thumbprint when it asks whether to trust the server. It must be the same as here, letter by letter.</p>
        <${CopyBox} label="Thumbprint SHA-1, as vCenter shows it" text=${now.certificate.thumbprint_sha1} />
        <${CopyBox} label="Thumbprint SHA-256" text=${now.certificate.thumbprint_sha256} />
        <${Facts} of=${[["Subject", html`<bdi>${now.certificate.subject}</bdi>`], now.names?.length && ["Good for the names", html`<bdi>${now.names.join(", ")}</bdi>`], ["Valid from", html`<${Time} at=${now.certificate.not_before} day />`], ["Valid until", html`<${Time} at=${now.certificate.not_after} day />`]]} /><//>
      <${Card} title="Certificate authority"><p class="quiet">Clients such as NetApp and most KMIP programs trust this server by its authority's certificate.</p>
        <${CopyBox} label="CA certificate" text=${now.ca_pem.trim()} file="keystead-ca.pem" /><//>
      ${may("backup.create") && html`<${Backups} />`}
      ${open === "reload" && html`<${Confirm} title="Reload" submit="Reload" danger=${false} close=${() => setOpen(null)} send=${() => post("/v1/server/reload")} done=${done("Reloaded")}>
        <p>The server's certificate and the audit log's file are opened anew, as after a renewal by other means or a rotation of log files. 0 connections are cut.</p><//>`}
      ${open === "renew" && html`<${Confirm} title="Renew the server's certificate" submit="Renew it" close=${() => setOpen(null)} send=${() => post("/v1/server/certificate/renew")} done=${done("The certificate is renewed")}>
        <p>The server's own authority issues a new one for the same key and names. New connections get it at once; open ones go on.</p>
        <${Notice} kind="warn" title="The thumbprints change">Clients that trust the authority notice nothing. Those that compared the thumbprint, as vCenter does, must be told to trust the new one${adapters.data ? `: see to the ${count(adapters.data.length, "adapter")} here` : ""}.<//><//>`}`}<//><//>`;
}

function Backups() {
  const found = useLoad((signal) => all("/v1/backups", {}, { signal }));
  const making = useAct((key) => post("/v1/backups", {}, key));
  const make = async () => { if (await making.act()) { say("The backup is made"); found.reload(); } };
  const columns = [
    { id: "made", label: "Made", text: (row) => row.created_at, show: (row) => html`<${Time} at=${row.created_at} exact />` },
    { id: "file", label: "File in the server's backup folder", text: (row) => row.file, show: (row) => html`<code>${row.file}</code>` },
    { id: "size", label: "Size", end: true, text: (row) => row.bytes, show: (row) => bytes(row.bytes) },
    { id: "keys", label: "Opens with the root keys", text: (row) => row.root_keys.map((key) => `${key.label} ${key.version} (KCV ${key.kcv})`).join(", "), show: (row) => html`<bdi>${row.root_keys.map((key) => `${key.label}, version ${key.version}`).join("; ") || "none"}</bdi>` },
    { id: "sum", label: "SHA-256", text: (row) => row.sha256, show: (row) => html`<${Id} value=${row.sha256} what="digest" length="12" />` },
  ];
  return html`<${Card} title="Backups of the database" action=${html`<${Button} kind="small" busy=${making.busy} onClick=${make}><${Icon} name="plus" />Make a backup<//>`}>
    <p class="quiet">Everything in a backup is sealed: it opens only with its root keys in the HSM, which are backed up by the HSM's own means.</p>
    <${ProblemBox} problem=${making.problem} />
    <${Loaded} of=${found}>${(rows) => html`<${Table} name="Backups" rows=${rows} columns=${columns} sort=${["made", "down"]} empty=${html`<${Empty} title="No backup yet">Make one now, and let a program make one every day.<//>`} />`}<//><//>`;
}

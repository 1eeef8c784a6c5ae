// Approvals: what takes two people. One asks, another decides, and after a hold the server does it.
import { html, useEffect, useState } from "../view.js";
import { change, get, post } from "../api.js";
import { href } from "../route.js";
import { Badge, Button, Card, Empty, Facts, Loaded, Notice, Page, say, Tabs, Time, useLoad, useNow } from "../ui.js";
import { Confirm, Impact } from "../dialogs.js";
import { Listing } from "../table.js";
import { useSession } from "../session.js";
import { count, duration, number } from "../format.js";
import { approvalActions, approvalStates, inMemory } from "../words.js";

export default ({ parts, query }) => (parts[1] ? html`<${Approval} id=${parts[1]} />` : html`<${List} state=${query.tab ?? "pending"} />`);

const named = (row) => row.subject_name || row.subject.slice(0, 8);
const columns = [
  { id: "what", label: "What", text: (row) => `${approvalActions[row.action] || row.action} ${named(row)}`, show: (row) => html`<a href=${href(`/approvals/${row.id}`)}>${approvalActions[row.action] || row.action} <bdi>${named(row)}</bdi></a><span class="sub"><bdi>${row.reason}</bdi></span>` },
  { id: "state", label: "State", text: (row) => approvalStates[row.state]?.[0], show: (row) => html`<${Badge} of=${approvalStates} is=${row.state} />` },
  { id: "impact", label: "Keys lost", end: true, text: (row) => row.impact.objects, show: (row) => number(row.impact.objects) },
  { id: "by", label: "Asked for by", text: (row) => row.requested_by.name, show: (row) => html`<bdi>${row.requested_by.name}</bdi>` },
  { id: "at", label: "Asked", text: (row) => row.requested_at, show: (row) => html`<${Time} at=${row.requested_at} />` },
  { id: "decided", label: "Decided by", text: (row) => row.decided_by?.name, show: (row) => html`<bdi>${row.decided_by?.name || "–"}</bdi>` },
];

function List({ state }) {
  return html`<${Page} title="Approvals" lead="Destroying a root key, an adapter whose keys are in use, or a key in use takes two people. One asks with a reason, another approves, and it is done only after a hold in which either can cancel it.">
    <${Tabs} label="Requests" path="/approvals" now=${state} tabs=${[["pending", "Waiting"], ["approved", "In their hold"], ["all", "All"]]} />
    <${Listing} name="Approvals" path="/v1/approvals" query=${{ state: state === "all" ? undefined : state }} columns=${columns}
      empty=${html`<${Empty} title=${state === "pending" ? "Nothing waits for a decision" : "Nothing here"}>Requests are made where something is destroyed: on the page of a root key, an adapter or a key.<//>`} /><//>`;
}

const settled = ["done", "failed", "rejected", "cancelled", "expired"];

function Approval({ id }) {
  const path = `/v1/approvals/${id}`;
  const { may, who } = useSession();
  const [every, setEvery] = useState(0);
  const loaded = useLoad((signal) => get(path, signal), [path, every], every);
  const one = loaded.data;
  useEffect(() => { if (one) setEvery(settled.includes(one.state) ? 0 : one.state === "executing" ? 1500 : 5000); }, [one]);
  const [open, setOpen] = useState(null);
  const own = one && one.requested_by.id === who.identity;
  const decide = one && may("approval.decide", one.adapter);
  const party = one && (own || decide || one.decided_by?.id === who.identity);
  const done = (text) => (now) => { setOpen(null); say(text); if (now?.id) loaded.put(now); };
  const subject = one && { "root_key.destroy": `/root-keys/${one.subject}`, "adapter.delete": `/adapters/${one.subject}`, "object.destroy": `/keys/${one.subject}` }[one.action];
  const actions = one && html`
    ${one.state === "pending" && decide && !own && html`<${Button} kind="danger" onClick=${() => setOpen("approve")}>Approve…<//><${Button} kind="secondary outline" onClick=${() => setOpen("reject")}>Reject…<//>`}
    ${((one.state === "pending" && (own || !decide)) || one.state === "approved") && party && html`<${Button} kind="secondary outline" onClick=${() => setOpen("cancel")}>Cancel it…<//>`}`;
  const title = one ? `${approvalActions[one.action] || one.action} ${named(one)}` : "Request";
  return html`<${Page} kind="Request" title=${title} up=${["/approvals", "Approvals"]} badge=${one && html`<${Badge} of=${approvalStates} is=${one.state} />`} lead=${one && approvalStates[one.state]?.[2]} actions=${actions}>
    <${Loaded} of=${loaded}>${() => html`
      ${one.state === "approved" && html`<${Hold} until=${one.hold_until} reload=${loaded.reload} />`}
      ${one.state === "pending" && own && html`<${Notice}>You asked for this, so another person must decide. Nobody approves their own request, whatever their role.<//>`}
      ${one.outcome && html`<${Notice} kind=${one.state === "done" ? "good" : "warn"} title="What became of it">${one.outcome}<//>`}
      <${Card} title="What is asked"><${Facts} of=${[
        ["What", html`${approvalActions[one.action] || one.action} <a href=${href(subject)}><bdi>${named(one)}</bdi></a>`],
        ["Reason", html`<bdi>${one.reason}</bdi>`],
        ["Asked for by", html`<bdi>${one.requested_by.name}</bdi>, <${Time} at=${one.requested_at} />`],
        ["Decided by", one.decided_by ? html`<bdi>${one.decided_by.name}</bdi>, <${Time} at=${one.decided_at} />` : html`nobody yet; possible until <${Time} at=${one.expires_at} />`],
        one.finished_at && ["Finished", html`<${Time} at=${one.finished_at} exact />`]]} /><//>
      <${Card} title="What it would mean"><p class="quiet">Counted <${Time} at=${one.impact.computed_at} exact />. If more keys are in use by the time it is approved or done, the request is void.</p><${Impact} of=${one.impact} /><//>
      ${open === "approve" && html`<${Confirm} title="Approve this?" submit="Approve" close=${() => setOpen(null)} send=${() => change("POST", `${path}/approve`, one.revision)} done=${done("Approved")}>
        <p><strong>${count(one.impact.objects, "key")} ${one.impact.objects === 1 ? "is" : "are"} lost, ${number(one.impact.active_objects)} of them in use</strong>, at ${count(one.impact.adapters.length, "adapter")}. After the hold the server does it by itself; until then it can be cancelled.</p><p>${inMemory}</p><//>`}
      ${open === "reject" && html`<${Confirm} title="Reject this?" submit="Reject" danger=${false} close=${() => setOpen(null)} send=${() => post(`${path}/reject`)} done=${done("Rejected")}><p>0 keys are lost. Whoever wants it after all asks again.</p><//>`}
      ${open === "cancel" && html`<${Confirm} title="Cancel this?" submit="Cancel the request" danger=${false} close=${() => setOpen(null)} send=${() => post(`${path}/cancel`)} done=${done("Cancelled")}><p>0 keys are lost: nothing has been done yet, and nothing will be.</p><//>`}`}<//><//>`;
}

/** The time until it is done, counted down. */
function Hold({ until, reload }) {
  const now = useNow(1000);
  const left = Math.ceil((Date.parse(until) - now) / 1000);
  useEffect(() => { if (left === 0) reload(); }, [left === 0]);
  return html`<${Notice} kind="warn" title=${left > 0 ? `It is done in ${duration(left)}` : "It is being done now"}>
    ${left > 0 ? html`At <${Time} at=${until} exact /> the server does it, and then it cannot be undone. Until then it can be cancelled.` : "This page shows the outcome as soon as there is one."}<//>`;
}

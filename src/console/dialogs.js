// Dialogs: questions with numbers, and what takes two people.
import { html, useEffect, useId, useRef, useState } from "./view.js";
import { get, post } from "./api.js";
import { Icon } from "./icons.js";
import { href } from "./route.js";
import { Badge, Busy, Button, Field, Notice, ProblemBox, Stat, Time, useAct, useLoad } from "./ui.js";
import { count, duration, number } from "./format.js";
import { objectStates } from "./words.js";

export function Dialog({ title, close, wide, children }) {
  const box = useRef();
  const id = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  // Browsers close a dialog by themselves when Escape is pressed again; where it should stay, it comes back.
  const closed = () => {
    if (!box.current) return;
    close();
    setTimeout(() => { if (box.current?.isConnected && !box.current.open) box.current.showModal(); }, 50);
  };
  return html`<dialog ref=${box} aria-labelledby=${id} onClose=${closed} onCancel=${(event) => { event.preventDefault(); close(); }}>
    <article class=${wide ? "wide" : ""}><header><h2 id=${id}>${title}</h2>
      <button type="button" class="icon-button" aria-label="Close" onClick=${close}><${Icon} name="close" /></button></header>
      ${children}</article></dialog>`;
}

/** A form in a dialog. `send(key)` does it; `done(result)` follows. */
export function FormDialog({ title, lead, submit, danger, wide, send, done, close, blocked, children }) {
  const { act, busy, problem } = useAct(send);
  const fields = typeof children === "function" ? children(problem) : children;
  const submitted = async (event) => {
    event.preventDefault();
    const made = await act();
    if (made !== undefined) done(made);
  };
  return html`<${Dialog} title=${title} close=${close} wide=${wide}><form onSubmit=${submitted}>
    ${lead && html`<p>${lead}</p>`}${fields}<${ProblemBox} problem=${problem} />
    <footer><button type="button" class="secondary outline" onClick=${close}>Back</button>
      <button type="submit" class=${danger ? "danger" : ""} aria-busy=${busy ? "true" : undefined} disabled=${busy || blocked}>${submit}</button></footer></form><//>`;
}

/** Asks before something that cannot simply be undone. */
export const Confirm = ({ title, children, submit, danger = true, send, done, close, blocked }) =>
  html`<${FormDialog} title=${title} submit=${submit} danger=${danger} send=${async (key) => (await send(key)) ?? true} done=${done} close=${close} blocked=${blocked}>${children}<//>`;

/** What would be lost, in numbers. */
export function Impact({ of }) {
  const several = of.object === null || of.object === undefined;
  return html`<div class="impact">
    <div class="stats">
      <${Stat} value=${number(of.objects)} label=${of.objects === 1 ? "key is lost" : "keys are lost"} kind=${of.objects ? "bad" : "good"} />
      <${Stat} value=${number(of.active_objects)} label="of them in use (Active)" kind=${of.active_objects ? "bad" : "good"} />
      ${of.held_objects > 0 && html`<${Stat} value=${number(of.held_objects)} label="destroyed and held, lost as well" kind="warn" />`}
      ${several && html`<${Stat} value=${number(of.adapters.length)} label=${of.adapters.length === 1 ? "adapter affected" : "adapters affected"} />`}
    </div>
    ${of.object && html`<p>${of.object.names[0] ? html`<strong><bdi>${of.object.names.join(", ")}</bdi></strong>` : "The key"}, <${Badge} of=${objectStates} is=${of.object.state} />,
      ${of.object.last_use_at ? html` handed out last <${Time} at=${of.object.last_use_at} ago />` : " never handed out"}.
      ${of.object.hold_seconds > 0 ? ` Its material is held for ${duration(of.object.hold_seconds)} and can be recovered until then.` : " It is erased at once."}</p>`}
    ${of.adapters.map((adapter) => html`<details open=${of.adapters.length === 1}><summary><strong><bdi>${adapter.name}</bdi></strong>: ${count(adapter.objects, "key")}, ${number(adapter.active_objects)} in use</summary>
      <p>${adapter.states.filter((one) => one.objects).map((one) => html`<${Badge} of=${objectStates} is=${one.state} /> ${number(one.objects)}  `)}</p>
      <p>Newest key <${Time} at=${adapter.newest_at} none="none" />; ${adapter.last_use_at ? html`a key was handed out last <${Time} at=${adapter.last_use_at} ago />` : "no key was ever handed out, as far as is on record"}.</p>
      ${adapter.clients.length > 0 && html`<p>Clients that connected: ${adapter.clients.slice(0, 5).map((client, place) => html`${place ? "; " : ""}<bdi>${client.subject}</bdi> from <code>${client.address}</code> <${Time} at=${client.seen_at} ago />`)}${adapter.clients.length + adapter.more_clients > 5 && ` and ${number(adapter.clients.length + adapter.more_clients - 5)} more`}.</p>`}</details>`)}
    ${of.warnings.map((text) => html`<${Notice} kind="warn">${text}<//>`)}</div>`;
}

/**
 * Destroying something: first what it would mean, then the deed, or a request to a second person where it takes one.
 * `impact`: where the report is. `needs(report)`: whether a second person must agree. `deed(key)`: the deed where not.
 */
export function Destroy({ title, verb, impact, needs, deed, action, subject, mayAsk, close, done }) {
  const report = useLoad(() => get(impact), [impact]);
  const [reason, setReason] = useState("");
  const [asked, setAsked] = useState(null);
  const [forced, setForced] = useState(false);
  const two = report.data && (forced || needs(report.data));
  const { act, busy, problem } = useAct(async (key) => {
    if (two) return { approval: await post("/v1/approvals", { action, subject, reason }, key) };
    try {
      await deed(key);
      return { done: true };
    } catch (problem) {
      if (problem.code !== "approval-needed") throw problem;
      setForced(true);
      return {};
    }
  });
  const submitted = async (event) => {
    event.preventDefault();
    const result = await act();
    if (result?.approval) setAsked(result.approval);
    if (result?.done) done();
  };
  if (asked) {
    return html`<${Dialog} title="Asked for" close=${close}><p>Nothing has happened yet. Another person who may decide on approvals must agree before <${Time} at=${asked.expires_at} />.
      After that there is a hold in which it can still be cancelled.</p><footer><a role="button" href=${href(`/approvals/${asked.id}`)}>See the request</a></footer><//>`;
  }
  const blocked = !report.data || (two && !mayAsk);
  return html`<${Dialog} title=${title} close=${close} wide><form onSubmit=${submitted}>
    ${report.problem && html`<${ProblemBox} problem=${report.problem} retry=${report.reload} />`}
    ${!report.data && !report.problem && html`<${Busy}>Counting what would be lost…<//>`}
    ${report.data && html`<${Impact} of=${report.data} />`}
    ${two && html`<${Notice} title="This takes two people">You ask for it and say why; another person decides. Nothing happens until then.<//>
      ${mayAsk ? html`<${Field} label="Reason, for whoever decides" name="reason" value=${reason} set=${setReason} rows="3" required minlength="2" maxlength="240" problem=${problem} />`
        : html`<${Notice} kind="warn">Your roles do not allow you to ask for this. Somebody who is an operator, security officer or administrator can.<//>`}`}
    <${ProblemBox} problem=${problem} />
    <footer><button type="button" class="secondary outline" onClick=${close}>Back</button>
      <button type="submit" class="danger" aria-busy=${busy ? "true" : undefined} disabled=${busy || blocked}>${two ? "Ask for approval" : verb}</button></footer></form><//>`;
}

/** A secret that is shown once. */
export function ShownOnce({ title, children, close, label = "I have saved it" }) {
  return html`<${Dialog} title=${title} close=${() => {}} wide>${children}
    <footer><${Button} onClick=${close}>${label}<//></footer><//>`;
}

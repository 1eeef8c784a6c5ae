// Who is signed in, what they may do, and how they come in and go.
import { createContext, html, useContext, useEffect, useState } from "./view.js";
import { firstAdministrator, get, lastRequest, signIn } from "./api.js";
import { Logo } from "./icons.js";
import { Button, CopyBox, Field, Notice, ProblemBox, useAct, useNow } from "./ui.js";
import { Dialog } from "./dialogs.js";
import { duration } from "./format.js";
import { ofOneAdapter } from "./words.js";

export const Session = createContext(null);

/**
 * Who is signed in: `who`, and `may(permission, adapter)`. Without an adapter: everywhere. `maySome(permission)`: for some
 * adapter at least. The server decides; this keeps away what it would refuse.
 */
export const useSession = () => useContext(Session);

export function sessionOf(who) {
  const everywhere = new Set(who.permissions);
  const there = (permission, adapter) => who.grants.some((grant) => grant.adapter && (!adapter || grant.adapter === adapter) && ofOneAdapter[grant.role]?.includes(permission));
  return {
    who,
    may: (permission, adapter) => everywhere.has(permission) || (adapter ? there(permission, adapter) : false),
    maySome: (permission) => everywhere.has(permission) || there(permission),
  };
}

/** The form that one signs in with. `done(who)` follows. */
function SignInForm({ done, name }) {
  const [key, setKey] = useState("");
  const [setup, setSetup] = useState(null);
  const byKey = useAct(async () => {
    try {
      return await signIn(key.trim());
    } catch (problem) {
      if (problem.code === "forbidden" && /first administrator/.test(problem.detail)) { setSetup(key.trim()); return undefined; }
      if (problem.code === "unauthenticated" && !/revoked|expired|spent|disabled/.test(problem.detail)) {
        problem.title = "This key is not accepted";
        problem.detail = "Check that it was copied whole: it begins with ks_. A key that was revoked or belongs to another server does not work here.";
      }
      throw problem;
    }
  });
  const byCertificate = useAct(async () => {
    try {
      return await signIn();
    } catch (problem) {
      if (problem.code === "unauthenticated") {
        problem.title = "No known certificate came";
        problem.detail = "The browser sent no certificate, or one that belongs to nobody here. Import yours into the browser (with its private key), have it registered with your identity, and open this page again in a new window.";
      }
      throw problem;
    }
  });
  const come = async (way) => {
    const who = await way.act();
    setKey("");
    if (who) done(who);
  };
  if (setup) return html`<${FirstAdministrator} token=${setup} done=${done} />`;
  return html`<form class="signin" onSubmit=${(event) => { event.preventDefault(); byCertificate.clear(); come(byKey); }}>
    <${Field} label="API key" name="key" kind="password" value=${key} set=${setKey} required autocomplete="current-password" placeholder="ks_…" help=${name ? `You were signed in as ${name}.` : "Sent once over this connection, and never kept in the browser."} />
    <${ProblemBox} problem=${byKey.problem || byCertificate.problem} />
    <button type="submit" aria-busy=${byKey.busy ? "true" : undefined} disabled=${byKey.busy}>Sign in</button>
    <p class="or"><span>or</span></p>
    <${Button} kind="secondary outline" busy=${byCertificate.busy} onClick=${() => { byKey.clear(); come(byCertificate); }}>Use my client certificate<//>
  </form>`;
}

/** A new server: the token that its set-up printed makes the first administrator. */
function FirstAdministrator({ token, done }) {
  const [name, setName] = useState("");
  const [key, setKey] = useState(null);
  // Tried again it goes on where it was.
  const [make] = useState(() => firstAdministrator(token));
  const { act, busy, problem } = useAct(() => make(name));
  const enter = useAct(() => signIn(key));
  if (key) {
    return html`<div class="signin"><h2>Your API key</h2>
      <${Notice} kind="warn" title="It is shown this once">Keep it where you keep passwords: the server has only a digest of it, and the set-up token is spent.<//>
      <${CopyBox} label="API key" text=${key} />
      <${ProblemBox} problem=${enter.problem} />
      <${Button} busy=${enter.busy} onClick=${async () => { const who = await enter.act(); if (who) done(who); }}>I have saved it: sign in<//></div>`;
  }
  return html`<form class="signin" onSubmit=${async (event) => { event.preventDefault(); const made = await act(); if (made) setKey(made); }}>
    <h2>Set up this server</h2><p>This is the one-time token of a new server. It makes the first administrator, and is spent by that.</p>
    <${Field} label="Your name" name="name" value=${name} set=${setName} required minlength="2" maxlength="40" autocomplete="username" problem=${problem} help="What the audit log will call you." />
    <${ProblemBox} problem=${problem} />
    <button type="submit" aria-busy=${busy ? "true" : undefined} disabled=${busy}>Make me administrator</button></form>`;
}

/** The page for those who are not signed in. */
export function SignIn({ done, left }) {
  useEffect(() => { document.title = "Sign in · Keystead"; }, []);
  return html`<main class="door"><div class="doorcard"><${Logo} /><h1>Keystead</h1>
    <p class="lead">Keys for storage and virtual machines, under root keys that stay in your HSM.</p>
    ${left && html`<${Notice} kind="good">${left}<//>`}
    <${SignInForm} done=${done} />
    <details class="help"><summary>Where do I get a key?</summary>
      <p>From whoever manages identities here: <em>Identities → your name → New API key</em>.</p>
      <p>On a new server, <code>keystead init</code> printed a token for its first administrator. Enter it above. <code>keystead admin-token</code> on the server prints another.</p></details>
  </div></main>`;
}

/** The session ended while somebody was at work: they sign in again and go on where they were. */
export function SignInAgain({ name, done, leave }) {
  return html`<${Dialog} title="Please sign in again" close=${leave}>
    <p>Your session has ended: after 15 minutes without activity, 12 hours, or because its key was revoked. Everything on this page stays as it is.</p>
    <${SignInForm} done=${done} name=${name} /><//>`;
}

/** A minute before the session ends for want of activity: asks whether somebody is still there. */
export function StillThere({ who, leave }) {
  const now = useNow(5000);
  const ends = Math.min(lastRequest() + (who.idle_seconds ?? Infinity) * 1000, who.expires_at ? Date.parse(who.expires_at) : Infinity);
  const left = (ends - now) / 1000;
  // Once it is over the server is asked, and the answer brings the form to sign in again.
  useEffect(() => { if (left < -2) get("/v1/session").catch(() => {}); }, [left < -2]);
  if (left > 75 || left < 0) return null;
  const final = who.expires_at && Date.parse(who.expires_at) <= ends;
  return html`<${Dialog} title="Are you still there?" close=${() => get("/v1/session")}>
    <p role="status">${final ? "The session ends after 12 hours in any case, in " : "Without activity the session ends in "}${duration(Math.ceil(left / 5) * 5)}.</p>
    <footer><${Button} kind="secondary outline" onClick=${leave}>Sign out<//>${!final && html`<${Button} onClick=${() => get("/v1/session")}>Stay signed in<//>`}</footer><//>`;
}

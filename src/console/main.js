// The console's frame: which page is shown, what leads to others, who is signed in.
import { html, render, useCallback, useEffect, useErrorBoundary, useRef, useState } from "./view.js";
import { get, signOut, whenOver, whoAmI } from "./api.js";
import { Icon, Logo } from "./icons.js";
import { href, useRoute } from "./route.js";
import { Busy, Page, ProblemBox, Said, say, useLoad } from "./ui.js";
import { Session, sessionOf, SignIn, SignInAgain, StillThere, useSession } from "./session.js";
import { roles } from "./words.js";

// First part of the address, words, icon, what one must be allowed, the file that shows it, and what is beside it above a line.
const pages = [
  ["", "Overview", "overview", "kmip-management.list", "overview"],
  ["connect", "Connect a client", "connect", "kmip-management.create", "connect"],
  ["adapters", "Adapters", "adapters", "kmip-management.list", "adapters", "Keys"],
  ["keys", "Keys", "keys", "kmip-management.list", "keys"],
  ["root-keys", "Root keys", "rootkeys", "root-key.list", "rootkeys"],
  ["certificates", "Certificates", "certificates", "kmip-management.list", "certificates"],
  ["approvals", "Approvals", "approvals", ["approval.request", "approval.decide", "kmip-management.list"], "approvals", "Control"],
  ["identities", "Identities", "identities", "identity.list", "identities"],
  ["audit", "Audit log", "audit", "audit.read", "audit"],
  ["server", "Server", "server", "config.read", "server"],
];
// One file shows the list and what is in it.
const load = (file) => import(`./pages/${file}.js`);

function useTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const [theme, set] = useState(now);
  useEffect(() => {
    const changed = () => set(now());
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("keystead.theme", next); } catch { /* Then it lasts until the page is closed. */ }
    set(next);
  };
  return [theme, turn];
}

function Who({ leave }) {
  const { who } = useSession();
  const [theme, turn] = useTheme();
  const named = [...new Set(who.grants.map((grant) => `${roles[grant.role]?.[0] || grant.role}${grant.adapter ? " (some adapters)" : ""}`))];
  return html`<div class="who">
    <div class="person"><strong><bdi>${who.name}</bdi></strong><span>${named.join(", ") || "No role"}</span></div>
    <button type="button" class="icon-button" onClick=${turn} aria-label=${theme === "dark" ? "Use light colours" : "Use dark colours"} title=${theme === "dark" ? "Light" : "Dark"}><${Icon} name=${theme === "dark" ? "sun" : "moon"} /></button>
    <button type="button" class="icon-button" onClick=${leave} aria-label="Sign out" title="Sign out"><${Icon} name="signout" /></button></div>`;
}

function Menu({ now, close }) {
  const { maySome } = useSession();
  // Approvals that wait, looked at now and then.
  const overview = useLoad((signal) => get("/v1/overview", signal).catch(() => null), [], 60000);
  const waiting = overview.data?.approvals?.pending;
  const seen = pages.filter(([, , , may]) => [may].flat().some(maySome));
  return html`<nav class="menu" id="menu" aria-label="Main"><ul>${seen.map(([path, words, icon, , , above]) => html`
    ${above && html`<li class="above" aria-hidden="true">${above}</li>`}
    <li><a href=${href(`/${path}`)} aria-current=${path === now ? "page" : undefined} onClick=${close}><${Icon} name=${icon} /><span>${words}</span>
      ${path === "approvals" && waiting > 0 && html`<span class="many" title="Waiting for a decision">${waiting}<span class="hidden"> waiting</span></span>`}</a></li>`)}</ul></nav>`;
}

function Shown({ route }) {
  const { maySome } = useSession();
  // A fault of one page leaves the others in reach.
  const [fault, forget] = useErrorBoundary((error) => console.error(error));
  useEffect(() => { if (fault) forget(); }, [route.path]);
  const first = route.parts[0] || "";
  const page = pages.find(([path]) => path === first);
  const [module, setModule] = useState(null);
  useEffect(() => {
    let wanted = true;
    if (page) {
      load(page[4]).then((loaded) => wanted && setModule({ file: page[4], View: loaded.default }),
        () => wanted && setModule({ file: page[4], failed: true }));
    }
    return () => { wanted = false; };
  }, [page?.[4]]);
  if (fault) return html`<${ProblemBox} problem=${{ title: "This page has a fault", detail: "Nothing was changed by it. Load it again; if it comes back, tell whoever maintains the server what you did" }} retry=${() => location.reload()} />`;
  if (!page) return html`<${Page} title="There is no such page"><p><a href=${href("/")}>Go to the overview</a></p><//>`;
  if (![page[3]].flat().some(maySome)) {
    return html`<${Page} title=${page[1]}><${ProblemBox} problem=${{ title: "Your roles do not show this page", detail: "Ask somebody who manages identities for a role that does" }} /><//>`;
  }
  if (module?.file !== page[4]) return html`<${Busy} />`;
  if (module.failed) return html`<${ProblemBox} problem=${{ title: "The page cannot be loaded", detail: "The server does not answer, or was updated: load the page again" }} retry=${() => location.reload()} />`;
  return html`<${module.View} key=${`${first}/${route.parts[1] || ""}`} parts=${route.parts} query=${route.query} />`;
}

function Frame({ leave }) {
  const route = useRoute();
  const [open, setOpen] = useState(false);
  const main = useRef();
  const first = route.parts[0] || "";
  useEffect(() => { setOpen(false); scrollTo(0, 0); }, [route.path]);
  return html`<div class=${`frame${open ? " open" : ""}`}>
    <button type="button" class="skip" onClick=${() => main.current.focus()}>Skip to the page</button>
    <header class="bar">
      <button type="button" class="icon-button burger" aria-label=${open ? "Close the menu" : "Open the menu"} aria-expanded=${String(open)} aria-controls="menu" onClick=${() => setOpen(!open)}><${Icon} name=${open ? "close" : "menu"} /></button>
      <a class="brand" href=${href("/")} aria-label="Keystead: overview"><${Logo} /><span>Keystead</span></a>
      <${Who} leave=${leave} /></header>
    <${Menu} now=${first} close=${() => setOpen(false)} />
    <main ref=${main} id="main" tabindex="-1"><${Shown} route=${route} /></main></div>`;
}

function App() {
  const [state, set] = useState({ wait: true });
  const [again, setAgain] = useState(null);
  const signedIn = useCallback((who) => { set({ session: sessionOf(who) }); }, []);
  const refresh = useCallback(() => {
    set({ wait: true });
    whoAmI().then(
      // Without a session it is the certificate that speaks: a session begins by the button.
      (who) => (who.csrf_token ? signedIn(who) : set({})),
      (problem) => set(problem.status === 401 ? {} : { problem }));
  }, []);
  useEffect(refresh, []);
  useEffect(() => {
    whenOver(() => new Promise((resolve) => setAgain((old) => [...(old || []), resolve])));
  }, []);
  const leave = async () => {
    try {
      await signOut();
    } catch (problem) {
      // The cookie is still good, and whoever comes next must not find that out.
      if (problem.status !== 401) { say(`You are still signed in: ${problem.detail || problem.message}`); return; }
    }
    setAgain(null);
    location.hash = "";
    set({ left: "You are signed out." });
  };
  const back = (who) => {
    // Somebody else must not find what the one before had open.
    if (who.identity !== state.session.who.identity) { location.reload(); return; }
    signedIn(who);
    again.forEach((resolve) => resolve());
    setAgain(null);
  };
  if (state.wait) return html`<main class="door"><${Busy} /></main>`;
  if (state.problem) return html`<main class="door"><div class="doorcard"><h1>Keystead</h1><${ProblemBox} problem=${state.problem} retry=${refresh} /></div></main>`;
  return html`<${Said} />${state.session
    ? html`<${Session.Provider} value=${state.session}>
        <${Frame} leave=${leave} />
        ${again ? html`<${SignInAgain} name=${state.session.who.name} done=${back} leave=${leave} />` : html`<${StillThere} who=${state.session.who} leave=${leave} />`}<//>`
    : html`<${SignIn} done=${signedIn} left=${state.left} />`}`;
}

render(html`<${App} />`, document.getElementById("app"));

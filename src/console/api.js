// The REST API: one function for each kind of request. Errors are Problems (RFC 9457) that say what to do.

/** Why a request was not done. */
export class Problem extends Error {
  constructor(details) {
    super(details.detail || details.title || "The request failed.");
    Object.assign(this, { status: 0, code: "unknown", title: "The request failed" }, details);
  }
}

const unreachable = () => new Problem({
  code: "unreachable",
  title: "The server does not answer",
  detail: "Check that it runs and that this computer can reach it. Nothing was lost here: try again.",
});

const session = { csrf: null, touched: Date.now(), over: null };

/** When the server heard of this session last, in milliseconds. */
export const lastRequest = () => session.touched;

/** What to do when the session is over: a function that returns a promise, settled when somebody has signed in again. */
export const whenOver = (then) => { session.over = then; };

async function send(method, path, { body, headers = {}, signal } = {}) {
  const all = { accept: "application/json", ...headers };
  if (body !== undefined) all["content-type"] = "application/json";
  if (session.csrf && method !== "GET") all["x-csrf-token"] = session.csrf;
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, headers: all, cache: "no-store", credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  session.touched = Date.now();
  const text = await answer.text().catch(() => { throw unreachable(); });
  const json = /json/.test(answer.headers.get("content-type") || "");
  let data = text;
  if (json) {
    try { data = JSON.parse(text); } catch { throw new Problem({ status: answer.status, detail: "The answer of the server cannot be read." }); }
  }
  if (!answer.ok) throw new Problem(json ? data : { status: answer.status, detail: `The server answered with status ${answer.status}.` });
  return data;
}

/** Sends a request within the session. Where that is over, whoever signs in again goes on where they were. */
export async function request(method, path, options = {}) {
  for (;;) {
    try {
      return await send(method, path, options);
    } catch (problem) {
      if (problem.status !== 401 || !session.over) throw problem;
      await session.over();
    }
  }
}

export const get = (path, signal) => request("GET", path, { signal });

/** Makes something or starts an action. A repetition after a lost answer makes it once. */
export const post = (path, body, key = crypto.randomUUID()) =>
  request("POST", path, { body, headers: body === undefined ? {} : { "idempotency-key": key } });

const match = (revision) => ({ "if-match": revision === undefined ? "*" : `"${revision}"` });
/** A change of what has a revision: it is refused where somebody else was faster. */
export const change = (method, path, revision, body) => request(method, path, { body, headers: match(revision) });
export const remove = (path, revision) => request("DELETE", path, { headers: revision === undefined ? {} : match(revision) });

/** A path with the parts of a query that say something. */
export function at(path, query = {}) {
  const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return said.length ? `${path}?${new URLSearchParams(said)}` : path;
}

/** All items of a list, page by page, until `most`. `progress` hears how many there are so far. */
export async function all(path, query = {}, { most = 100000, progress, signal } = {}) {
  const items = [];
  let page;
  do {
    const found = await get(at(path, { ...query, limit: 1000, page }), signal);
    items.push(...found.items);
    page = found.next_page;
    progress?.(items.length);
  } while (page && items.length < most);
  return items;
}

function begun(who) {
  session.csrf = who.csrf_token;
  return who;
}

/** Who is asking; a Problem with status 401 where nobody is signed in. */
export const whoAmI = async () => begun(await send("GET", "/v1/session"));

/** Begins a session with an API key, which is sent this once, or with the browser's client certificate. */
export async function signIn(key) {
  session.csrf = null;
  const options = key ? { headers: { authorization: `Bearer ${key}` } } : {};
  try {
    return begun(await send("POST", "/v1/session", options));
  } catch (problem) {
    // The cookie of an old session hid the certificate; the answer took it away.
    if (key || problem.code !== "session-over") throw problem;
    return begun(await send("POST", "/v1/session"));
  }
}

export async function signOut() {
  await send("DELETE", "/v1/session");
  session.csrf = null;
}

/** With the token that sets a server up: a function that makes the first administrator of a name and returns its API key. Called again it goes on. */
export function firstAdministrator(token) {
  const headers = { authorization: `Bearer ${token}` };
  const grants = [{ role: "administrator", adapter: null }];
  let made;
  return async (name) => {
    made ||= await send("POST", "/v1/identities", { headers, body: { kind: "operator", name, grants } });
    return (await send("POST", `/v1/identities/${made.id}/api-keys`, { headers, body: { name: "first key" } })).key;
  };
}

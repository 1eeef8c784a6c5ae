// Addresses within the console: everything behind the # of the page's address.
import { useEffect, useState } from "./view.js";

/** The address now: its path in parts, and its query. */
export function here() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  // Parts become parts of the API's paths: what is no name or identifier stays escaped, and is not found there.
  const parts = path.split("/").filter(Boolean).map((part) => (/^[\w-]+$/.test(part) ? part : encodeURIComponent(part)));
  return { path: `/${parts.join("/")}`, parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address to link to. Parts of a query that say nothing are left out. */
export function href(path, query = {}) {
  const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${path}${said.length ? `?${new URLSearchParams(said)}` : ""}`;
}

export const go = (path, query) => { location.hash = href(path, query); };

/** Changes the address without a step in the browser's history, for tabs and filters. */
export function become(path, query) {
  history.replaceState(null, "", href(path, query));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    const changed = () => set(here());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

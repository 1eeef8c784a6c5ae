// What a page needs to show something: Preact, its hooks, and markup as tagged templates.
import { h } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { createContext, Fragment, render } from "./vendor/preact.js";
export { useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
export const html = htm.bind(h);

// Icons: outlines of 24 by 24, drawn for this console. They say nothing that words beside them do not.
import { html } from "./view.js";

const paths = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM14 4v3h6V4zM4 17v3h6v-3z",
  connect: "M8 3v5M16 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4",
  adapters: "M4 5h16v5H4zM4 14h16v5H4zM8 7.5h.01M8 16.5h.01M12 7.5h5M12 16.5h5",
  keys: "M15.5 8.5a4.5 4.5 0 1 1-4.2-4.49A4.5 4.5 0 0 1 15.5 8.5zM14.2 11.7 21 18.5V21h-3v-2h-2v-2h-2l-1.9-1.9",
  rootkeys: "M12 3l8 3v6c0 4.5-3.3 7.6-8 9-4.7-1.4-8-4.5-8-9V6zM12 9.5a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6zM12 13v3",
  certificates: "M5 3h14v12H5zM9 7h6M9 10.5h3M15 13a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM13.5 17.5V22l1.5-1 1.5 1v-4.5",
  approvals: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-3.5 2.5-6 6-6 1.5 0 2.8.4 3.8 1.2M14.5 18l2.3 2.3L21 16",
  identities: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 21c0-4 3.2-6.5 7.5-6.5s7.5 2.5 7.5 6.5",
  audit: "M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h5M9 8h2",
  server: "M4 4h16v7H4zM4 13h16v7H4zM7.5 7.5h.01M7.5 16.5h.01",
  menu: "M4 6h16M4 12h16M4 18h16",
  close: "M6 6l12 12M18 6 6 18",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  copy: "M8 8h12v12H8zM16 8V4H4v12h4",
  download: "M12 3v12M7 10.5l5 5 5-5M4 20h16",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 4 2.5 20h19zM12 10v4.5M12 17.2h.01",
  info: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM12 11v5.5M12 7.8h.01",
  bad: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM9 9l6 6M15 9l-6 6",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  signout: "M10 4H4v16h6M15 8l4 4-4 4M19 12H9",
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5 21 21",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${paths[name]} /></svg>`;

export const Logo = () =>
  html`<svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false"><path class="stone" d="M9 3h14l6 26H3z" /><circle cx="16" cy="14" r="3.5" /><path d="M14.5 16h3l1 7h-5z" /></svg>`;

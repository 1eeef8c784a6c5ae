// Before the page is painted: the colours that its viewer chose, or those of the system.
const dark = matchMedia("(prefers-color-scheme: dark)");
function setTheme() {
  let theme = null;
  try { theme = localStorage.getItem("keystead.theme"); } catch { /* Without storage the system decides. */ }
  document.documentElement.dataset.theme = theme === "dark" || theme === "light" ? theme : dark.matches ? "dark" : "light";
}
setTheme();
dark.addEventListener("change", setTheme);

"use strict";

// The theme: the system's, unless the reader has pressed the button; kept where the browser keeps anything.
// Everything that is drawn rather than styled listens to "themechange" on the document.
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("gen_jax-theme"); } catch { return null; } };
  const store = (theme) => { try { localStorage.setItem("gen_jax-theme", theme); } catch { /* for this page only */ } };
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const announce = () => {
    document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
    document.dispatchEvent(new CustomEvent("themechange"));
  };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  system.addEventListener("change", announce);
  document.addEventListener("DOMContentLoaded", () => {
    announce();
    document.getElementById("theme")?.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      store(root.dataset.theme);
      announce();
    });
  });
})();

// A button with data-copy="ID" copies the text of that element, or selects it where copying is not allowed.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    window.getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
});

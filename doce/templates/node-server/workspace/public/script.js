// The button switches between light and dark, and the choice is kept. Without it the page follows the system.
const root = document.documentElement;
const button = document.querySelector(".theme");

function recall() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // Storage may be blocked; the page works without.
  }
}

function keep(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // See recall.
  }
}

const chosen = recall();
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep(root.dataset.theme);
  });
}

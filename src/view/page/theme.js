// The colours: as the system has them, light, or dark. A classic script in the head, so that the
// page is never painted in the wrong ones first.
(() => {
  const KEY = "spandrel.theme";
  const CHOICES = ["system", "light", "dark"];

  /** What was chosen before; a browser that refuses storage follows the system. */
  function remembered() {
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "system";
    } catch {
      return "system";
    }
  }

  function remember(choice) {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // It holds for as long as the page is open.
    }
  }

  function wear(choice) {
    if (choice === "system") {
      delete document.documentElement.dataset.theme;
    } else {
      document.documentElement.dataset.theme = choice;
    }
  }

  let choice = remembered();
  wear(choice);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => {
      button.textContent = { system: "Auto", light: "Light", dark: "Dark" }[choice];
      button.setAttribute("aria-label", `Colours: ${choice}`);
    };
    button.addEventListener("click", () => {
      choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
      wear(choice);
      remember(choice);
      name();
    });
    name();
  });
})();

/** Keyboard shortcuts, except while the reader types. */

const TYPING = "input, select, textarea";
const PRESSED = "button, a, summary";

/**
 * Call the action of each key pressed.
 * @param {Record<string, () => void>} actions by the key's name
 */
export function listen(actions) {
  document.addEventListener("keydown", (press) => {
    if (press.ctrlKey || press.metaKey || press.altKey || press.isComposing) return;
    const target = /** @type {Element} */ (press.target);
    // An open dialog handles its own keys.
    if (document.querySelector("dialog[open], [role=dialog]:not([hidden])")) return;
    if (target.closest(TYPING) && press.key !== "Escape") return;
    // These keys press a focused button.
    if ((press.key === " " || press.key === "Enter") && target.closest(PRESSED)) return;
    const action = actions[press.key];
    if (!action) return;
    press.preventDefault();
    action();
  });
}

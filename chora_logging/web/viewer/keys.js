/** The keyboard: one key, one action, wherever nothing is being typed. */

const TYPING = "input, select, textarea";
const PRESSED = "button, a, summary";

/**
 * Call the action of each key that is pressed.
 * @param {Record<string, () => void>} actions by the key's name
 */
export function listen(actions) {
  document.addEventListener("keydown", (press) => {
    if (press.ctrlKey || press.metaKey || press.altKey || press.isComposing) return;
    const target = /** @type {Element} */ (press.target);
    // An open dialog has its keys to itself.
    if (document.querySelector("dialog[open], [role=dialog]:not([hidden])")) return;
    if (target.closest(TYPING) && press.key !== "Escape") return;
    // A button is pressed with these keys, and does what it says.
    if ((press.key === " " || press.key === "Enter") && target.closest(PRESSED)) return;
    const action = actions[press.key];
    if (!action) return;
    press.preventDefault();
    action();
  });
}

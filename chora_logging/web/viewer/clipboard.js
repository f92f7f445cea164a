/** Copies text, also on pages without HTTPS. */

import { element } from "./text.js";

/** @param {string} whole @returns {Promise<boolean>} whether the browser has let it */
export async function copied(whole) {
  try {
    await navigator.clipboard.writeText(whole);
    return true;
  } catch {
    return copiedByCommand(whole);
  }
}

/**
 * For pages without HTTPS, which have no `navigator.clipboard`.
 * @param {string} whole
 */
function copiedByCommand(whole) {
  const before = document.activeElement;
  const area = element("textarea", "off-screen");
  area.value = whole;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return isCopied;
}

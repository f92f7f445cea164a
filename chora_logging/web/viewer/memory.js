/** What the browser remembers of the reader's choices; nothing, if it has no storage. */

const PREFIX = "chora_logging.";

/** @param {string} key */
export function stored(key) {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value */
export function store(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // The choice holds until the page is closed.
  }
}

/** Fades what is the same in every row on screen, so that what differs is seen. */

/** Fewer rows may be alike by chance. */
const LEAST_ROWS = 3;
/** A longer value is not compared. */
const LONGEST_CHARS = 1000;

/**
 * Fade in some rows what all of them have in common.
 * @param {import("./row.js").Row[]} rows those of events
 */
export function fadeRepeats(rows) {
  const same = rows.length < LEAST_ROWS ? new Map() : common(rows);
  for (const { shown } of rows) {
    for (const [what, { part }] of shown) part?.classList.toggle("is-same", same.has(what));
  }
}

/** @param {import("./row.js").Row[]} rows */
function common([first, ...others]) {
  const same = new Map([...first.shown].filter(([, { raw }]) => raw.length <= LONGEST_CHARS));
  for (const { shown } of others) {
    for (const [what, { raw }] of same) if (shown.get(what)?.raw !== raw) same.delete(what);
    if (!same.size) break;
  }
  return same;
}

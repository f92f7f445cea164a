/** Rows of which one is in the tab order; the others are reached from it. */

/** Owns the tab order of the rows in an element. */
export class Rows {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  get all() {
    return /** @type {HTMLElement[]} */ ([...this.root.children]);
  }

  /** The row in the tab order; -1 without rows. */
  get index() {
    return this.all.findIndex((row) => row.tabIndex === 0);
  }

  get hasFocus() {
    return this.root.contains(document.activeElement);
  }

  /** @param {Event} event the row in which it happened; -1 for none */
  indexOf(event) {
    const row = /** @type {Element} */ (event.target).closest("[role=row]");
    return row ? this.all.findIndex((each) => each === row) : -1;
  }

  /**
   * Make one row the only one in the tab order.
   * @param {number} index
   * @param {boolean} isFocused
   */
  choose(index, isFocused) {
    for (const row of this.all) row.tabIndex = -1;
    const row = this.all[index];
    if (!row) return;
    row.tabIndex = 0;
    if (isFocused) row.focus();
  }

  /**
   * Move the focus down by some rows.
   * @param {number} step
   */
  move(step) {
    const target = this.hasFocus || Math.abs(step) > 1 ? this.index + step : this.index;
    this.choose(Math.max(0, Math.min(this.all.length - 1, target)), true);
  }

  /**
   * Mark one row as selected, and no other.
   * @param {number} index -1 for none
   */
  select(index) {
    this.all.forEach((row, each) => row.setAttribute("aria-selected", String(each === index)));
  }
}

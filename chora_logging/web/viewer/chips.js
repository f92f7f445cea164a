/** The filters in use, each a button that removes it. */

import { byId, element, visible } from "./text.js";

/** The filters that have no control of their own, and their names for people. */
const NAMES = new Map([
  ["event", "event"],
  ["task_id", "task"],
  ["run_id", "run"],
  ["trace_id", "trace"],
  ["status", "status"],
]);

/** Shows the filters. Dispatches "remove" with the changes of the place. */
export class Chips extends EventTarget {
  #root = byId("chips");

  /** @param {import("./place.js").Place} place @param {import("./expression.js").Draft} draft what is typed, and so not shown again */
  fill(place, draft) {
    const chips = [...NAMES].filter(([name]) => place.get(name)).map(([name, words]) => {
      return this.#chip(`${words} = ${place.get(name)}`, { [name]: "" });
    });
    const { where } = place;
    for (const each of where) {
      if (each !== draft.where) chips.push(this.#chip(each, { where: where.filter((other) => other !== each) }));
    }
    const text = place.get("text");
    if (text && text !== draft.text) chips.push(this.#chip(`“${text}”`, { text: "" }));
    for (const [name, value] of place.unknown) chips.push(this.#chip(`${name}=${value}`, { [name]: "" }, false));
    this.#root.replaceChildren(...chips);
    this.#root.hidden = !chips.length;
    return chips.length;
  }

  /** @param {string} words @param {Record<string, string | string[]>} changes @param {boolean} [isApplied] */
  #chip(words, changes, isApplied = true) {
    const shown = visible(words, 80);
    const parts = [element("bdi", "", shown), element("span", "remove", "✕")];
    if (!isApplied) parts.splice(1, 0, element("span", "", " is not a filter, and not applied"));
    const chip = element("button", isApplied ? "chip" : "chip warning", parts);
    chip.type = "button";
    chip.title = visible(words);
    chip.setAttribute("aria-label", isApplied ? `Remove the filter ${shown}` : `Remove ${shown}, which is not a filter, and not applied`);
    chip.addEventListener("click", () => this.dispatchEvent(new CustomEvent("remove", { detail: changes })));
    const item = element("li", "", [chip]);
    return item;
  }
}

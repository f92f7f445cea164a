/** The form that asks for the token if the server has one. */

import { logIn, logOut } from "./api.js";
import { byId } from "./text.js";

/** Dispatches "login" when the server has accepted the token. */
export class Login extends EventTarget {
  #root = byId("login");
  #form = /** @type {HTMLFormElement} */ (byId("login-form"));

  constructor() {
    super();
    this.#form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#submit();
    });
  }

  get isOpen() {
    return !this.#root.hidden;
  }

  show() {
    if (this.isOpen) return;
    this.#root.hidden = false;
    byId("page").inert = true;
    byId("login-error").textContent = "";
    byId("token").focus();
  }

  async #submit() {
    const token = byId("token").value;
    try {
      await logIn(token);
    } catch (failure) {
      byId("login-error").textContent = wordsOf(failure);
      byId("token").select();
      return;
    }
    this.#form.reset();
    this.#root.hidden = true;
    byId("page").inert = false;
    this.dispatchEvent(new Event("login"));
  }
}

/** @param {any} failure */
function wordsOf(failure) {
  if (failure.status === 401) return "This is not the token of this server.";
  return failure instanceof TypeError ? "The server does not answer. Try again." : failure.message;
}

/** End the session: after a reload the page has no events and asks for the token. */
export async function endSession() {
  try {
    await logOut();
    location.reload();
  } catch {
    byId("logout").textContent = "Not logged out: try again";
  }
}

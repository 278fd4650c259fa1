// The question for a token, where the server asks for one.
import { token, useToken } from "./api.js";
import { at } from "./dom.js";
import { say } from "./words.js";

/** Ask for a token; `used` is called when another one is given. The button of the page asks again later. */
export class TokenQuestion {
  constructor(used) {
    this.dialog = at("token-dialog");
    this.field = at("token-field");
    this.button = at("token-button");
    this.button.hidden = token() === null;
    this.button.addEventListener("click", () => this.ask());
    this.dialog.addEventListener("close", () => {
      if (this.dialog.returnValue === "use") {
        useToken(this.field.value.trim());
        used();
      }
      this.field.value = "";
    });
  }

  /** Open the question; `why` is the key of a text. */
  ask(why = "tokenWhy") {
    this.button.hidden = false;
    say(at("token-why"), "text", why);
    if (this.dialog.open) return;
    this.dialog.returnValue = "";
    this.dialog.showModal();
  }
}

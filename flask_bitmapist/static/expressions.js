/* Fields of expressions: what may stand at the caret is offered, users are counted, and
   what is not known is underlined.  What to say is the server's: see web/typed.py.
   Without this file such a field is one of text, with the browser's own suggestions. */
(() => {
  "use strict";

  const OFFERS_AFTER = 120;
  const COUNTS_AFTER = 350;
  const BESIDE = ["as_of", "time_group", "exclude"];
  let made = 0;

  const element = (tag, attributes = {}, ...children) => {
    const created = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => created.setAttribute(name, value));
    created.append(...children);
    return created;
  };

  /* The server counts characters, and JavaScript halves of some. */
  const characters = (text) => Array.from(text);

  class Field {
    constructor(input) {
      made += 1;
      this.input = input;
      this.options = [];
      this.active = -1;
      this.answer = null;
      this.asked = {};
      this.timers = {};
      this.list = element("ul", { class: "bm-options", role: "listbox", id: `bm-options-${made}` });
      this.list.hidden = true;
      this.list.setAttribute("aria-label", input.dataset.bmOffers);
      this.mirror = element("span", {
        class: `${input.className} bm-mirror`,
        "aria-hidden": "true",
      });
      this.told = element("span", { class: "bm-told", role: "status", id: `bm-told-${made}` });
      input.after(this.mirror, this.list, this.told);
      input.removeAttribute("list");
      const described = [input.getAttribute("aria-describedby"), this.told.id];
      const attributes = {
        role: "combobox",
        autocapitalize: "none",
        "aria-autocomplete": "list",
        "aria-expanded": "false",
        "aria-controls": this.list.id,
        "aria-describedby": described.filter(Boolean).join(" "),
      };
      Object.entries(attributes).forEach(([name, value]) => input.setAttribute(name, value));
      this.listen();
    }

    listen() {
      const { input, list } = this;
      input.addEventListener("input", (event) => {
        this.forget();
        /* What is offered is for an earlier text, until the answer for this one. */
        this.stop("offers");
        this.list.setAttribute("aria-busy", "true");
        this.activate(-1);
        if (event.isComposing) return;
        this.after("offers", OFFERS_AFTER, () => this.offer());
        this.after("counts", COUNTS_AFTER, () => this.count());
      });
      input.addEventListener("compositionend", () => input.dispatchEvent(new Event("input")));
      input.addEventListener("keydown", (event) => this.press(event));
      input.addEventListener("click", () => this.offer());
      input.addEventListener("focus", () => this.look());
      input.addEventListener("blur", () => this.close());
      input.addEventListener("scroll", () => (this.mirror.scrollLeft = input.scrollLeft));
      /* The caret stays in the field. */
      list.addEventListener("mousedown", (event) => event.preventDefault());
      list.addEventListener("click", (event) => {
        const chosen = event.target.closest("[role=option]");
        if (chosen && !list.hasAttribute("aria-busy")) this.accept([...list.children].indexOf(chosen));
      });
    }

    press(event) {
      const isOpen = !this.list.hidden;
      const { key } = event;
      if (event.isComposing) return;
      if (key === "ArrowDown" || key === "ArrowUp") {
        event.preventDefault();
        if (isOpen && this.list.hasAttribute("aria-busy")) return;
        if (isOpen) this.activate(this.active + (key === "ArrowDown" ? 1 : -1));
        else this.offer(key === "ArrowDown" ? 0 : -1);
      } else if (key === "Enter" && isOpen && this.active >= 0) {
        event.preventDefault();
        this.accept(this.active);
      } else if (key === "Escape" && isOpen) {
        event.preventDefault();
        this.close();
      } else if (["Enter", "Escape", "Tab", "ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) {
        this.close();
      }
    }

    after(what, wait, act) {
      clearTimeout(this.timers[what]);
      this.timers[what] = setTimeout(act, wait);
    }

    /* Ask the page itself about the text; a later question of a kind ends an earlier. */
    async ask(what, more = {}) {
      this.stop(what);
      const { form, name, value, dataset } = this.input;
      /* The field may be removed while it waits. */
      if (!form) return null;
      const stopped = (this.asked[what] = new AbortController());
      const url = new URL(form.action);
      const asked = { typed: value, typed_in: name.split("-")[0], ...more };
      BESIDE.forEach((each) => {
        const other = form.elements[each];
        if (other && other.value && other !== this.input) asked[each] = other.value;
      });
      url.hash = "";
      url.search = new URLSearchParams(asked);
      try {
        const options = { headers: { Accept: "application/json" }, signal: stopped.signal };
        const response = await fetch(url, options);
        const answer = await response.json();
        const errors = response.ok ? [] : Object.values(answer.errors).flat();
        if (stopped.signal.aborted) return null;
        return response.ok ? answer : { told: errors.join(" ") };
      } catch {
        return stopped.signal.aborted ? null : { told: dataset.bmFailed };
      }
    }

    stop(what) {
      clearTimeout(this.timers[what]);
      if (this.asked[what]) this.asked[what].abort();
    }

    /* -- what is offered */

    async offer(active = -1) {
      const before = this.input.value.slice(0, this.input.selectionStart);
      const answer = await this.ask("offers", { caret: characters(before).length });
      if (answer && document.activeElement === this.input) {
        this.open(answer.options || [], active);
      }
    }

    open(options, active) {
      this.options = options;
      this.list.removeAttribute("aria-busy");
      this.list.replaceChildren(
        ...options.map(({ text, about }, at) =>
          element(
            "li",
            { role: "option", id: `${this.list.id}-${at}`, "aria-selected": "false" },
            element("span", { class: "bm-option" }, text),
            " ",
            element("span", { class: about.length > 18 ? "bm-about bm-long" : "bm-about" }, about)
          )
        )
      );
      if (!options.length) {
        this.close();
        return;
      }
      this.list.hidden = false;
      this.list.style.top = `${this.input.offsetHeight + 2}px`;
      this.list.classList.remove("bm-options-left");
      const end = this.list.getBoundingClientRect().right;
      this.list.classList.toggle("bm-options-left", end > document.documentElement.clientWidth);
      this.list.scrollTop = 0;
      this.input.setAttribute("aria-expanded", "true");
      this.activate(active);
      this.say();
    }

    close() {
      const wasOpen = !this.list.hidden;
      this.stop("offers");
      this.list.hidden = true;
      this.options = [];
      this.input.setAttribute("aria-expanded", "false");
      this.activate(-1);
      if (wasOpen) this.say();
    }

    activate(at) {
      const count = this.options.length;
      this.active = at < -1 ? count - 1 : at >= count ? (count ? 0 : -1) : at;
      [...this.list.children].forEach((option, each) =>
        option.setAttribute("aria-selected", String(each === this.active))
      );
      const option = this.list.children[this.active];
      if (option && !this.list.hidden) {
        this.input.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      } else {
        this.input.removeAttribute("aria-activedescendant");
      }
    }

    accept(at) {
      const { insert, position, length } = this.options[at];
      const all = characters(this.input.value);
      const before = all.slice(0, position).join("") + insert;
      this.input.value = before + all.slice(position + length).join("");
      this.input.setSelectionRange(before.length, before.length);
      this.input.focus();
      this.close();
      this.forget();
      this.after("counts", COUNTS_AFTER, () => this.count());
      /* More has to follow. */
      if (insert.endsWith(" ")) this.offer();
    }

    /* -- what is said of the text */

    look() {
      if (this.input.value.trim() && !this.answer) this.count();
    }

    async count() {
      const answer = this.input.value.trim() ? await this.ask("counts") : {};
      if (!answer) return;
      this.answer = answer;
      this.say();
    }

    /* What was said of an earlier text is said no more. */
    forget() {
      this.stop("counts");
      this.answer = null;
      this.mirror.replaceChildren();
      this.input.removeAttribute("aria-invalid");
      const box = this.input.closest("div.bm-invalid");
      if (box) {
        box.classList.remove("bm-invalid");
        box.querySelectorAll(".bm-error").forEach((error) => error.remove());
      }
      this.told.classList.add("bm-stale");
    }

    say() {
      if (!this.answer) return;
      const { told = "", wrong = [] } = this.answer;
      const box = this.input.closest(".bm-invalid");
      const said = box ? box.textContent : "";
      const caret = characters(this.input.value.slice(0, this.input.selectionStart)).length;
      /* The word that is being written may become one that is known. */
      const due = wrong.filter(
        (each) => this.list.hidden || each.position + each.length !== caret
      );
      const messages = due.map((each) => each.message).filter((each) => !said.includes(each));
      /* What has no length is only missing yet. */
      const marked = due.filter((each) => each.length);
      const lines = wrong.length ? messages : [told];
      this.told.classList.remove("bm-stale");
      this.told.classList.toggle("bm-error", marked.length > 0);
      this.told.replaceChildren(
        ...lines.filter(Boolean).map((line) => element("span", { class: "bm-line" }, line))
      );
      if (marked.length) this.input.setAttribute("aria-invalid", "true");
      else if (!box) this.input.removeAttribute("aria-invalid");
      this.underline(marked);
    }

    underline(marked) {
      const all = characters(this.input.value);
      let end = 0;
      const parts = marked.flatMap(({ position, length }) => {
        const before = all.slice(end, position).join("");
        end = position + length;
        return [before, element("mark", {}, all.slice(position, end).join(""))];
      });
      this.mirror.replaceChildren(...parts, all.slice(end).join(""));
      this.mirror.scrollLeft = this.input.scrollLeft;
    }
  }

  const fields = new WeakMap();
  const enhance = (within) =>
    within.querySelectorAll("[data-bm-expression]").forEach((input) => {
      if (!fields.has(input)) fields.set(input, new Field(input));
    });

  const lookAll = (within) =>
    within.querySelectorAll("[data-bm-expression]").forEach((input) => fields.get(input).look());

  enhance(document);
  document.addEventListener("bm-added", (event) => enhance(event.target));
  document.querySelectorAll(".bm-invalid").forEach(lookAll);
  /* Each group's size is shown with it. */
  document.querySelectorAll(".bm-users").forEach((line) => {
    if (line.open) lookAll(line);
    line.addEventListener("toggle", () => line.open && lookAll(line));
  });
})();

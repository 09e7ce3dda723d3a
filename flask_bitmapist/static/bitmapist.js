/* Comforts for the forms.  Every page works without this file. */
(() => {
  "use strict";

  const each = (selector, use, within = document) =>
    within.querySelectorAll(selector).forEach(use);

  /* Conditions are added and removed without asking the server. */
  each("[data-bm-conditions]", (box) => {
    const name = box.dataset.bmConditions;
    const template = box.querySelector("template[data-bm-template]");
    const nested = !!template.content.querySelector('[name$="-name"]');
    const conditions = () => box.querySelectorAll("[data-bm-condition]");

    const number = () =>
      conditions().forEach((condition, index) => {
        each(
          "[name], [data-bm-name]",
          (field) => {
            if (field.matches("[data-bm-remove]")) {
              field.value = index;
              return;
            }
            const last = field.dataset.bmName || field.name.split("-").pop();
            const part = nested ? `-${last}` : "";
            field.name = field.id = `${name}-${index}${part}`;
            const box = field.closest(".bm-field");
            const label = box && box.querySelector("label[for]");
            if (label) label.htmlFor = field.id;
          },
          condition
        );
        each(
          "[data-bm-remove]",
          (button) => {
            button.hidden = conditions().length <= Number(box.dataset.bmLeast || 0);
          },
          condition
        );
      });

    box.addEventListener("click", (event) => {
      const remove = event.target.closest("[data-bm-remove]");
      const add = event.target.closest("[data-bm-add]");
      if (add) {
        event.preventDefault();
        add.before(template.content.cloneNode(true));
        number();
        box.dispatchEvent(new Event("bm-added", { bubbles: true }));
        const all = conditions();
        all[all.length - 1].querySelector("input").focus();
      } else if (remove) {
        event.preventDefault();
        remove.closest("[data-bm-condition]").remove();
        number();
        box.querySelector("[data-bm-add]").focus();
      }
    });
  });

  /* A question that takes long shows that it is being worked on. */
  each("[data-bm-form]", (form) => {
    form.addEventListener("submit", (event) => {
      const button = form.querySelector("[data-bm-busy]");
      form.classList.add("bm-busy");
      form.setAttribute("aria-busy", "true");
      if (button) {
        button.dataset.bmIdle = button.textContent;
        button.textContent = button.dataset.bmBusy;
      }
      /* Fields that are left empty need not stand in the URL. */
      each(
        "input[name]",
        (field) => {
          if (!field.value && !field.required) field.disabled = true;
        },
        form
      );
    });
  });
  window.addEventListener("pageshow", () => {
    each("[data-bm-form]", (form) => {
      form.classList.remove("bm-busy");
      form.removeAttribute("aria-busy");
      each("input:disabled", (field) => (field.disabled = false), form);
      const button = form.querySelector("[data-bm-idle]");
      if (button) button.textContent = button.dataset.bmIdle;
    });
  });

  /* What is latest stands at the right end of a calendar. */
  each("[data-bm-end]", (box) => (box.scrollLeft = box.scrollWidth));

  /* A narrow menu shows where one is. */
  each(".bm-menu [aria-current]", (link) => {
    const menu = link.closest(".bm-menu");
    menu.scrollLeft = link.offsetLeft - menu.offsetLeft - 24;
  });

  /* Copy link: only where the browser lets a page do that. */
  each("[data-bm-copy]", (button) => {
    if (!navigator.clipboard) return;
    button.hidden = false;
    const text = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(location.href);
      button.textContent = button.dataset.bmDone;
      setTimeout(() => (button.textContent = text), 2000);
    });
  });
})();

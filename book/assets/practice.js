/* Guess, then see; and self-checks that tell right from wrong. What is typed stays in this browser. */
(() => {
  "use strict";

  const KINDS = {
    time: {
      units: {ns: 1e-9, us: 1e-6, "µs": 1e-6, ms: 1e-3, s: 1, sec: 1, second: 1, seconds: 1, min: 60, minute: 60, minutes: 60},
      form: "a number with its unit, such as 50 ms, 3 s or 2 min",
      more: "too long",
      less: "too short",
    },
    size: {
      units: {b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30},
      form: "a number with its unit, such as 300 KiB, 20 MiB or 1.5 GiB",
      more: "too much",
      less: "too little",
    },
    count: {units: {"": 1, "×": 1}, form: "a number", more: "too high", less: "too low"},
  };
  const SAYS = {
    hint: (form) => `Write ${form}.`,
    wrong: (form) => `Not there yet: write ${form}.`,
    kept: "Kept in this browser alone. You will see it beside the measurement:",
    there: "what was measured",
    guess: "your guess",
    none: "no guess yet",
    close: "about right",
    off: (times, how) => `${times} × ${how}`,
  };

  /** The kind of a text such as "182 ms", and its value in the kind's own unit; NaN where it says none. */
  const quantity = (text) => {
    const [, number, unit] = /^\s*([\d.,]+)\s*([a-zµ]*|×)\s*$/i.exec(text.replace("μ", "µ")) ?? [];
    const kind = Object.keys(KINDS).find((name) => unit?.toLowerCase() in KINDS[name].units);
    const value = kind ? Number(number.replace(",", ".")) * KINDS[kind].units[unit.toLowerCase()] : NaN;
    return {kind, value: value > 0 ? value : NaN};
  };

  const store = {
    memory: {},
    get(key) {
      try {
        return localStorage.getItem(key) ?? "";
      } catch {
        return this.memory[key] ?? "";
      }
    },
    set(key, text) {
      this.memory[key] = text;
      try {
        localStorage.setItem(key, text);
      } catch {
        // then it lasts as long as the page
      }
    },
  };

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  /** What the answer's row says was measured. */
  const measurement = (row) => row.cells[1]?.textContent ?? "";

  function ask(guess) {
    const name = guess.id.replace("guess-", "");
    const answer = document.getElementById(`answer-${name}`);
    const measured = [...(answer?.querySelectorAll("tbody tr") ?? [])].map((row) => quantity(measurement(row)));
    const kind = measured.find((found) => found.kind)?.kind ?? "time";
    const status = element("p", {role: "status", class: "practice-status"});
    const fields = [...guess.querySelectorAll("li")].map((item, index) => {
      const field = element("input", {type: "text", size: "8", autocomplete: "off", spellcheck: "false"});
      const key = `containers-measured:${name}:${index}`;
      field.setAttribute("aria-describedby", `${guess.id}-hint`);
      field.value = store.get(key);
      field.addEventListener("input", () => {
        store.set(key, field.value);
        check();
        mark();
      });
      field.addEventListener("change", say);
      item.replaceChildren(element("label", {}, element("span", {}, ...item.childNodes), field));
      return field;
    });
    guess.append(element("p", {id: `${guess.id}-hint`, class: "practice-hint"}, SAYS.hint(KINDS[kind].form)), status);
    guess.classList.add("enhanced");

    const guessed = (field) => {
      const said = quantity(field.value);
      return said.kind === kind ? said.value : NaN;
    };
    const invalid = (field) => field.value.trim() !== "" && Number.isNaN(guessed(field));
    function check() {
      for (const field of fields) field.setAttribute("aria-invalid", invalid(field));
    }
    function say() {
      if (fields.some(invalid)) status.textContent = SAYS.wrong(KINDS[kind].form);
      else if (fields.some((field) => field.value.trim()) && answer)
        status.replaceChildren(`${SAYS.kept} `, element("a", {href: `#${answer.id}`}, SAYS.there));
      else status.textContent = "";
    }
    const mark = answer ? marker(answer, fields, guessed, KINDS[kind]) : () => {};
    check();
    mark();
  }

  /** Give the answer's table a column for the guesses; returns what fills it in. */
  function marker(answer, fields, guessed, kind) {
    answer.querySelector("thead tr").append(element("th", {class: "head", scope: "col"}, SAYS.guess));
    const rows = [...answer.querySelectorAll("tbody tr")].map((row, index) => {
      const words = element("span"), strip = element("span", {class: "strip", "aria-hidden": "true"});
      row.append(element("td", {}, words, strip));
      return {words, strip, field: fields[index], measured: quantity(measurement(row)).value};
    });
    return () => {
      const all = rows.flatMap(({field, measured}) => [guessed(field), measured]).filter((value) => value > 0);
      const low = Math.log(Math.min(...all)), high = Math.log(Math.max(...all));
      const place = (value) => `${(100 * (Math.log(value) - low)) / (high - low || 1)}%`;
      for (const {words, strip, field, measured} of rows) {
        const said = guessed(field);
        strip.replaceChildren();
        words.textContent = said ? `${field.value.trim()}${verdict(said, measured, kind)}` : SAYS.none;
        if (!said || !measured) continue;
        for (const [which, value] of [["measured", measured], ["guessed", said]]) {
          const dot = element("i", {class: which});
          dot.style.left = place(value);
          strip.append(dot);
        }
      }
    };
  }

  function verdict(guessed, measured, kind) {
    if (!measured) return "";
    const times = Math.max(guessed / measured, measured / guessed);
    if (times < 1.5) return `: ${SAYS.close}`;
    const said = times < 10 ? times.toFixed(1) : times.toFixed(0);
    return `: ${SAYS.off(said, guessed > measured ? kind.more : kind.less)}`;
  }

  function choose(choice, number) {
    const question = choice.querySelector(".question");
    const status = element("p", {role: "status", class: "practice-heard"});
    question.id = `choice-${number}`;
    choice.setAttribute("role", "radiogroup");
    choice.setAttribute("aria-labelledby", question.id);
    for (const option of choice.querySelectorAll("li")) {
      const words = option.querySelector("p"), explanation = option.querySelector(".explanation");
      const field = element("input", {type: "radio", name: question.id});
      words.replaceChildren(element("label", {}, field, element("span", {}, ...words.childNodes)));
      field.addEventListener("change", () => {
        for (const other of choice.querySelectorAll("li")) other.classList.toggle("chosen", other === option);
        status.textContent = explanation.textContent;
      });
    }
    choice.append(status);
    choice.classList.add("enhanced");
  }

  document.querySelectorAll(".practice.guess").forEach(ask);
  document.querySelectorAll(".practice.choice").forEach(choose);
})();

// Finds the sections that have every word of the query: whole words before parts of words, titles before text.
{
  const SHOWN = 50, AROUND = 120;
  const TITLE = 5, PAGE = 3; // how many times as much as in the text a word counts there
  const found = document.currentScript.dataset.found;
  const stemmer = new Stemmer();
  const split = (text) => text.toLowerCase().match(/[\p{Letter}\p{Number}_]+/gu) ?? [];

  // 2 and more for a whole word, in whichever form; less than 1 for a word's beginning or another part of it.
  const weigh = (wanted, text) => {
    let whole = 0, part = 0;
    for (const word of split(text)) {
      if (word === wanted || stemmer.stemWord(word) === stemmer.stemWord(wanted)) whole += 1;
      else if (word.startsWith(wanted)) part = 0.5;
      else if (wanted.length > 2 && word.includes(wanted)) part = Math.max(part, 0.1);
    }
    return whole ? 2 + Math.log(whole) : part;
  };

  const rank = (wanted, [address, page, title, text]) => {
    let whole = 0, score = 0;
    for (const word of wanted) {
      const weights = [TITLE * weigh(word, title), PAGE * weigh(word, page), weigh(word, text)];
      const weight = weights.reduce((sum, one) => sum + one);
      if (!weight) return null;
      whole += weights.some((one) => one >= 2);
      score += weight;
    }
    return { address, page, title, text, whole, score };
  };

  // The words around the first that was wanted, those that were wanted marked.
  const excerpt = (wanted, text) => {
    const pattern = new RegExp(`(${wanted.map((word) => stemmer.stemWord(word)).join("|")})`, "iu");
    const begin = Math.max(text.search(pattern) - AROUND, 0);
    const shown = document.createElement("p");
    shown.className = "context";
    text.slice(begin, begin + 2 * AROUND).split(new RegExp(pattern, "giu")).forEach((piece, index) => {
      const node = shown.appendChild(document.createElement(index % 2 ? "mark" : "span"));
      node.textContent = piece;
    });
    return shown;
  };

  const query = new URLSearchParams(location.search).get("q") ?? "";
  document.querySelectorAll('input[name="q"]').forEach((field) => { field.value = query; });
  const all = [...new Set(split(query))];
  const telling = all.filter((word) => !stopwords.includes(word));
  const wanted = telling.length ? telling : all;
  if (wanted.length) {
    const hits = SECTIONS.map((section) => rank(wanted, section)).filter(Boolean);
    hits.sort((a, b) => b.whole - a.whole || b.score - a.score);
    localStorage.setItem("sphinx_highlight_terms", wanted.join(" ")); // the page that is opened marks them
    const status = document.createElement("p");
    status.className = "search-summary";
    status.role = "status";
    status.textContent = `${found} ${hits.length}`;
    const list = document.createElement("ul");
    list.className = "search";
    for (const { address, page, title, text } of hits.slice(0, SHOWN)) {
      const link = document.createElement("a");
      link.href = address;
      link.textContent = page === title ? title : `${page} › ${title}`;
      const item = list.appendChild(document.createElement("li"));
      item.append(link, excerpt(wanted, text));
    }
    document.getElementById("search-results").append(status, list);
  }
}

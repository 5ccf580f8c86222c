"use strict";
// A head that is pressed sorts its column: numbers by what they say with their unit, largest first; words from A to Z.
{
  const factors = { T: 1e12, G: 1e9, M: 1e6, k: 1e3 };
  const seconds = { h: 3600, min: 60, s: 1 };
  const number = (text) => {
    const plain = text.replace("\u2212", "-");
    const times = [...plain.matchAll(/([\d.]+) (h|min|s)(?= |$)/g)];
    if (times.length) return times.reduce((sum, [, value, unit]) => sum + value * seconds[unit], 0);
    const found = plain.match(/^([+-]?[\d.]+)(?: ([TGMk]))?/);
    return found ? found[1] * (factors[found[2]] ?? 1) : NaN;
  };
  for (const head of document.querySelectorAll("thead th")) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const words = head.classList.contains("word"), place = head.cellIndex;
      const up = head.ariaSort ? head.ariaSort === "descending" : words;
      for (const other of head.parentNode.cells) other.ariaSort = null;
      head.ariaSort = up ? "ascending" : "descending";
      const body = head.closest("table").tBodies[0];
      const keyed = [...body.rows].map((row) => {
        const text = row.cells[place].textContent;
        return { row, key: words ? text : number(text) };
      });
      // What is no number stays at the end either way.
      const least = (key) => words ? false : Number.isNaN(key);
      const order = (a, b) => words ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
      keyed.sort((a, b) => least(a.key) - least(b.key) || (up ? 1 : -1) * order(a.key, b.key) || 0);
      body.append(...keyed.map((one) => one.row));
    });
  }
}

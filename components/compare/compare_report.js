"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // The matrix: cells are closed once they can be opened, and are all open on paper.
  const cells = all(".matrix td[data-outcome]");
  const details = all("details");
  for (const one of details) one.open = false;
  let opened = [];
  addEventListener("beforeprint", () => { opened = details.filter((d) => d.open); for (const d of details) d.open = true; });
  addEventListener("afterprint", () => { for (const d of details) d.open = opened.includes(d); });

  const bar = document.querySelector(".filters");
  if (bar) {
    const selects = all("select", bar);
    const value = (cell, name) => (name === "moment" ? cell.parentElement : cell).dataset[name];
    const fits = (cell, but) => selects.every((s) => s.name === but || !s.value || value(cell, s.name) === s.value);
    const chosen = (name) => selects.find((s) => s.name === name).value;
    const apply = () => {
      let left = 0;
      for (const cell of cells) {
        const fit = fits(cell);
        left += fit;
        for (const part of cell.children) part.classList.toggle("off", !fit);
      }
      for (const row of all(".matrix tbody tr")) row.classList.toggle("off", !all("td[data-outcome]", row).some((c) => fits(c)));
      for (const head of all(".matrix [data-stack][data-column]")) {
        const away = ["stack", "column"].some((n) => chosen(n) && chosen(n) !== head.dataset[n]);
        head.classList.toggle("off", away);
      }
      for (const select of selects) {
        for (const option of select.options) {
          const count = cells.filter((c) => fits(c, select.name) && (!option.value || value(c, select.name) === option.value)).length;
          option.textContent = `${option.value || "all"} (${count})`;
        }
      }
      bar.querySelector("output").textContent = `${left} of ${cells.length} cells`;
    };
    for (const select of selects) select.addEventListener("change", apply);
    bar.querySelector("button").addEventListener("click", () => { for (const s of selects) s.value = ""; apply(); });
    bar.hidden = false;
    apply();
  }

  // The lineage: one node at a time, with its edges lit.
  const nodes = all(".node");
  const boxes = all(".graph a");
  const show = (anchor) => {
    if (!nodes.some((n) => n.id === anchor)) return;
    for (const node of nodes) node.classList.toggle("away", node.id !== anchor);
    const near = new Set();
    for (const line of all(".graph path")) {
      const lit = line.dataset.source === anchor || line.dataset.target === anchor;
      line.classList.toggle("lit", lit);
      if (lit) { near.add(line.dataset.source); near.add(line.dataset.target); }
    }
    for (const box of boxes) {
      const own = box.getAttribute("href").slice(1);
      box.classList.toggle("lit", near.has(own));
      if (own === anchor) box.setAttribute("aria-current", "true"); else box.removeAttribute("aria-current");
    }
  };
  const follow = (event) => {
    const link = event.target.closest("a[href^='#node-']");
    if (!link) return;
    event.preventDefault();
    const anchor = link.getAttribute("href").slice(1);
    show(anchor);
    history.replaceState(null, "", `#${anchor}`);
    // Whoever follows from a list goes on reading there; whoever looks at the drawing stays in it.
    if (!link.closest(".graph")) document.getElementById(anchor).focus();
  };
  document.getElementById("lineage").addEventListener("click", follow);
  addEventListener("hashchange", () => show(location.hash.slice(1)));
  const first = boxes.find((b) => b.classList.contains("run")) || boxes[0];
  if (first) show(first.getAttribute("href").slice(1));
  show(location.hash.slice(1));
})();

const PAGE = 80;
const form = $("#filters");
const rank = (order, name) => (order.indexOf(name) < 0 ? order.length : order.indexOf(name));
const byText = (a, b) => a.localeCompare(b, "en", { sensitivity: "base", numeric: true });

// Each column: its key, its heading, how two contracts compare ascending, and which way a first click sorts.
const COLUMNS = [
  ["file", "Contract", (a, b) => byText(a.title || a.file, b.title || b.file), 1],
  ["type", "Type", (a, b) => byText(a.type || "", b.type || ""), 1],
  ["law", "Law", (a, b) => byText(a.law || "", b.law || ""), 1],
  ["risk", "Risk", (a, b) => rank(RISKS, b.risk) - rank(RISKS, a.risk), -1],
  ["route", "Route", (a, b) => rank(ROUTES, b.route) - rank(ROUTES, a.route), -1],
  ["deviations", "Deviations", (a, b) => a.deviations.length + a.missing.length - b.deviations.length - b.missing.length, -1],
  ["cost", "Cost", (a, b) => (a.cost ?? -1) - (b.cost ?? -1), -1],
];
const DEFAULT_SORT = "-risk";
let listed = contracts;

const distinct = (values) => {
  const counts = new Map();
  for (const value of values) if (value !== null) counts.set(value, (counts.get(value) || 0) + 1);
  return counts;
};

const fill = (name, values, order) => {
  const counts = distinct(values);
  const names = [...counts.keys()].sort(order ? (a, b) => rank(order, a) - rank(order, b) : (a, b) => counts.get(b) - counts.get(a) || byText(a, b));
  form.elements[name].append(
    h("option", { value: "" }, "All"),
    ...names.slice(0, 400).map((each) => h("option", { value: each }, `${each.length > 60 ? each.slice(0, 59) + "…" : each} (${integer(counts.get(each))})`)),
  );
};

fill("risk", contracts.map((each) => each.risk), RISKS);
fill("route", contracts.map((each) => (each.failed ? "failed" : each.route)), [...ROUTES, "failed"]);
fill("type", contracts.map((each) => each.type));
fill("law", contracts.map((each) => each.law));
fill("deviation", contracts.flatMap((each) => [...new Set([...each.deviations, ...each.missing])]));
form.elements.sort.append(...COLUMNS.flatMap(([key, label, , first]) =>
  [first, -first].map((way) => h("option", { value: (way < 0 ? "-" : "") + key }, `${label} ${way < 0 ? "↓" : "↑"}`))));

const amount = (text) => Number.parseFloat(text.replace(/[^0-9.]/g, ""));

const matching = () => {
  const { q, risk, route, type, law, deviation, cost, alerts, degraded } = form.elements;
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
  const least = amount(cost.value);
  return contracts.filter((each) =>
    (!risk.value || each.risk === risk.value) &&
    (!route.value || (each.failed ? "failed" : each.route) === route.value) &&
    (!type.value || each.type === type.value) &&
    (!law.value || each.law === law.value) &&
    (!deviation.value || each.deviations.includes(deviation.value) || each.missing.includes(deviation.value)) &&
    (Number.isNaN(least) || (each.cost !== null && each.cost >= least)) &&
    (!alerts.checked || each.alerts.length > 0) &&
    (!degraded?.checked || each.degraded.length > 0) &&
    words.every((word) => each.words.includes(word)));
};

const sorted = (found) => {
  const chosen = form.elements.sort.value || DEFAULT_SORT;
  const way = chosen.startsWith("-") ? -1 : 1;
  const compare = COLUMNS.find(([key]) => key === chosen.replace("-", ""))[2];
  return [...found].sort((a, b) => way * compare(a, b) || b.alerts.length - a.alerts.length || a.at - b.at);
};

const cell = (label, ...children) => h("td", { role: "cell", "data-label": label }, ...children);

// Roles are spelt out: as cards on a narrow screen, rows and cells would lose theirs.
const line = (each) => {
  const off = each.deviations.length + each.missing.length;
  const marks = [
    ...each.alerts.slice(0, 2).map((kind) => h("span", { class: "alarm" }, kind)),
    ...each.degraded.map((part) => h("span", { class: "mark" }, own(`${part} missing`))),
    each.copy && h("span", { class: "mark" }, "identical copy"),
    each.abstained > 0 && h("span", { class: "mark" }, plural(each.abstained, "abstention", "abstentions")),
  ].filter(Boolean);
  return h("tr", { role: "row", class: each.failed ? "failed" : null },
    h("th", { role: "rowheader", scope: "row" },
      h("a", { href: `#/contract/${each.at}` }, own(each.title || each.file)),
      each.title && h("span", { class: "file" }, own(each.file)),
      each.parties.length > 0 && h("span", { class: "parties" }, own(each.parties.join(" · "))),
      marks.length > 0 && h("span", { class: "marks" }, marks)),
    cell("Type", own(each.type || "–")),
    cell("Law", own(each.law || "–")),
    cell("Risk", each.failed ? "–" : level("risk", each.risk)),
    cell("Route", each.failed ? "failed" : each.route || "–"),
    cell("Deviations", h("span", { title: [...each.deviations, ...each.missing.map((title) => title + " (missing)")].join("\n") }, each.failed ? "–" : String(off))),
    cell("Cost", each.failed ? "–" : money(each.cost)));
};

const heading = ([key, label, , first], chosen) => {
  const active = chosen.replace("-", "") === key;
  const way = chosen.startsWith("-") ? -1 : 1;
  const next = active ? -way : first;
  return h("th", { role: "columnheader", scope: "col", "aria-sort": active ? (way < 0 ? "descending" : "ascending") : "none" },
    h("button", { type: "button", onclick: () => { form.elements.sort.value = (next < 0 ? "-" : "") + key; changed(); $(`#table [data-sort="${key}"]`).focus(); }, "data-sort": key },
      label, h("span", { "aria-hidden": "true" }, active ? (way < 0 ? " ↓" : " ↑") : "")));
};

// Rows are made as they come into sight: a few thousand at once would hold the page up.
const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && more());
let body = null;
let drawn = 0;
const moreButton = h("button", { type: "button", class: "quiet more", onclick: () => more() }, "Show more");
const more = () => {
  body.append(...listed.slice(drawn, drawn + PAGE).map(line));
  drawn = Math.min(listed.length, drawn + PAGE);
  moreButton.hidden = drawn >= listed.length;
};

const draw = () => {
  listed = sorted(matching());
  const chosen = form.elements.sort.value || DEFAULT_SORT;
  body = h("tbody", { role: "rowgroup" });
  drawn = 0;
  $("#table").replaceChildren(
    h("table", { role: "table", class: "contracts" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map((column) => heading(column, chosen)))), body),
    moreButton);
  more();
  watcher.disconnect();
  watcher.observe(moreButton);
  const all = contracts.length;
  $("#matches").textContent = listed.length === all ? plural(all, "file", "files")
    : listed.length ? `${integer(listed.length)} of ${plural(all, "file", "files")}` : "Nothing matches. Clear a filter or search for less.";
};

const query = () => {
  const pairs = [...new FormData(form)].filter(([name, value]) => value && !(name === "sort" && value === DEFAULT_SORT));
  return pairs.length ? "?" + new URLSearchParams(pairs) : "";
};

const changed = () => {
  history.replaceState(null, "", "#/contracts" + query());
  draw();
};

const showTable = (search) => {
  const wanted = new URLSearchParams(search);
  form.reset();
  form.elements.sort.value = DEFAULT_SORT;
  for (const [name, value] of wanted) {
    const field = form.elements.namedItem(name);
    if (!field) continue;
    if (field.type === "checkbox") field.checked = true;
    else field.value = value;
  }
  draw();
};

$("#unfold").addEventListener("click", (event) => {
  event.currentTarget.setAttribute("aria-expanded", String(form.classList.toggle("unfolded")));
});
let waiting = 0;
form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(changed, 120); });
form.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
$("#clear").addEventListener("click", () => {
  form.reset();
  form.elements.sort.value = DEFAULT_SORT;
  changed();
});

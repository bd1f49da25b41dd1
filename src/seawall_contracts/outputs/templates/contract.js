const row = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

const drawAlerts = (contract, go) => contract.alerts.length === 0 ? null : h("section", { class: "alerts", "aria-labelledby": "alerts-title" },
  h("h2", { id: "alerts-title" }, plural(contract.alerts.length, "alert", "alerts"), " about this document"),
  contract.alerts.map(([kind, why, spans]) => h("div", { class: "alert" },
    h("h3", {}, own(kind)), h("p", {}, own(why)), spans.map((span) => quotation(contract, span, go, 600)))));

const drawReasons = (contract) => contract.reasons.length === 0 ? null : h("section", { class: "reasons", "aria-labelledby": "reasons-title" },
  h("h2", { id: "reasons-title" }, "Why this route"), h("ul", {}, contract.reasons.map((reason) => h("li", {}, own(reason)))));

const place = (contract, spans, text, go) => spans.length && contract.anchors.has(spans[0])
  ? h("button", { type: "button", class: "place", onclick: () => go(spans[0]), title: "Show in the text" }, own(text)) : own(text);

const drawFacts = (contract, go) => h("dl", { class: "strip", "aria-label": "Facts" },
  contract.parties.slice(0, 4).map(([name, role, spans]) => row(own(role || "Party"), place(contract, spans, name, go))),
  row("Type", own(contract.type), contract.type_score ? h("small", {}, ` ${percent(contract.type_score)}`) : ""),
  row("Governing law", own(contract.law || "not found")),
  row("Effective", contract.effective || "not found"),
  row("Expires", contract.expiration || "not found"));

const drawMoreFacts = (contract, go) => !contract.facts.length && contract.parties.length <= 4 ? null : h("section", { "aria-labelledby": "facts-title" },
  h("h2", { id: "facts-title" }, "Read by rule"),
  h("p", { class: "explain" }, "Values in normal form; each shows the words it was read from."),
  h("dl", { class: "facts" },
    contract.parties.slice(4).map(([name, role, spans]) => row(own(role || "Party"), place(contract, spans, name, go))),
    contract.facts.map(([kind, value, spans]) => row(own(kind), place(contract, spans, value, go)))));

const drawSpent = ({ spent }) => {
  if (!spent) return null;
  const known = (spent.guard || 0) + (spent.queue || 0) + (spent.model_seconds || 0);
  const parts = [
    ["reading and rules", Math.max(0, (spent.seconds || 0) - known), "a"],
    ["guards", spent.guard || 0, "b"], ["waiting", spent.queue || 0, "c"], ["model", spent.model_seconds || 0, "d"],
  ];
  const total = parts.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  const bar = svg("svg", { class: "stack thin", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": "Time by part" });
  let x = 0;
  for (const [, seconds, tone] of parts) {
    bar.append(svg("rect", { class: "part-" + tone, x, width: (100 * seconds) / total, height: 10 }));
    x += (100 * seconds) / total;
  }
  const sent = spent.whole ? ` of ${integer(spent.whole)} in the whole document` : "";
  return h("section", { "aria-labelledby": "spent-title" },
    h("h2", { id: "spent-title" }, "Cost and time"),
    h("dl", { class: "facts" },
      row("Cost", money(spent.cost)),
      row("Tokens", `${integer(spent.input)} sent${sent}, ${integer(spent.output)} back`),
      row("Time", duration(spent.seconds), spent.risk_id ? h("small", {}, ` and ${duration(spent.risk_seconds)} of the risk agent`) : ""),
      row("Model", own(spent.model || "not named"), spent.degradation === "full" ? "" : h("strong", {}, ` degraded: ${spent.degradation}`)),
      spent.verdicts.length > 0 && row("Guards", own(spent.verdicts.join(", ")))),
    bar,
    h("ul", { class: "legend" }, parts.map(([label, seconds, tone]) => h("li", {},
      svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: "part-" + tone, width: 10, height: 10, rx: 2 })),
      h("span", { class: "label" }, label), " ", h("span", { class: "number" }, duration(seconds))))));
};

const neighbours = (at) => {
  const here = listed.findIndex((each) => each.at === at);
  const link = (contract, label) => contract ? h("a", { href: `#/contract/${contract.at}`, "aria-label": `${label} contract` }, label) : null;
  return h("nav", { class: "crumbs", "aria-label": "Within the list" },
    h("a", { href: "#/contracts" + query() }, "← Contracts"),
    here >= 0 && h("span", {}, `${integer(here + 1)} of ${integer(listed.length)}`),
    here > 0 && link(listed[here - 1], "Previous"),
    here >= 0 && link(listed[here + 1], "Next"));
};

const drawHead = (contract, entry, copyOf) => h("header", { class: "contract-head" },
  h("h1", { id: "contract-title", tabindex: "-1" }, own(contract.title || contract.file)),
  h("p", { class: "file" }, own(entry.file)),
  copyOf && h("p", { class: "notice" }, "Identical to ", h("a", { href: `#/contract/${copyOf.at}` }, own(copyOf.file)), ", and reviewed once."),
  h("p", { class: "verdict-line" }, level("risk", contract.risk), " risk, route: ", h("strong", {}, contract.route || "legal review"),
    contract.assessed && h("span", {}, " · risk agent: ", level("risk", contract.assessed[0]))));

const drawContract = (root, at) => {
  const entry = contracts[at];
  if (!entry) return root.replaceChildren(h("h1", { id: "contract-title", tabindex: "-1" }, "There is no such contract"));
  if (entry.failed) {
    return root.replaceChildren(neighbours(at),
      h("h1", { id: "contract-title", tabindex: "-1" }, own(entry.file)),
      h("p", { class: "notice" }, "Not reviewed. A person must read it. "), h("p", { class: "lead" }, own(entry.error)),
      h("p", {}, h("a", { href: "#/failed" }, "What to do about failed files")));
  }
  let contract = page(at);
  if (contract === null) {
    addEventListener("DOMContentLoaded", () => drawContract(root, at), { once: true });
    return root.replaceChildren(h("p", { class: "lead" }, "Loading…"));
  }
  const copyOf = contract.copy_of === undefined ? null : contracts[contract.copy_of];
  if (copyOf) contract = page(contract.copy_of);
  if (contract === null || contract.spans === undefined) {
    return root.replaceChildren(h("h1", { id: "contract-title", tabindex: "-1" }, "This contract's page is not in the file"));
  }
  contract.passages = passages(contract.text);
  contract.anchors = new Map();
  const notes = notesBySpan(contract);
  const text = drawText(contract, notes, contract.anchors);
  const go = (span) => jump(contract.anchors, span);
  root.replaceChildren(
    neighbours(at),
    drawHead(contract, entry, copyOf),
    drawAlerts(contract, go) || "",
    drawFacts(contract, go),
    h("div", { class: "desk" },
      h("div", { class: "notes" }, drawReasons(contract), drawAssessed(contract, go), drawVerdicts(contract, go), drawFindings(contract, go), drawAnswers(contract, go), drawMoreFacts(contract, go), drawSpent(contract)),
      text));
  watchMarks(text, notes);
  return undefined;
};

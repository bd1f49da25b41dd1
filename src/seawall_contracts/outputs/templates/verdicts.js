const quotation = (contract, span, go, most) => {
  const [start] = contract.spans[span];
  const text = words(contract, span, most);
  if (!text) return null;
  if (!contract.anchors.has(span)) {
    const why = start === null ? "not found at its place in the text" : "not in the excerpts shown";
    return h("blockquote", { class: "evidence" }, h("bdi", {}, visible(text)), h("small", {}, why));
  }
  return h("button", { type: "button", class: "evidence", onclick: () => go(span), title: "Show in the text" }, h("bdi", {}, visible(text)));
};

// The best passage is in sight, further candidates wait.
const evidence = (contract, spans, go, most = 420) => {
  const [first, ...others] = spans.map((span) => quotation(contract, span, go, most)).filter(Boolean);
  const further = others.length > 0 && h("details", { class: "further" }, h("summary", {}, plural(others.length, "further candidate", "further candidates")), others);
  return [first, further].filter(Boolean);
};

const copyText = async (text, button) => {
  const done = (word) => {
    button.textContent = word;
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
  try {
    await navigator.clipboard.writeText(text);
    done("Copied");
  } catch {
    // Where a page from a file may not use the clipboard, the words are selected instead.
    getSelection().selectAllChildren(button.previousElementSibling);
    done("Selected");
  }
};

const fallback = (wording) => {
  if (!wording) return null;
  const button = h("button", { type: "button", class: "quiet copy" }, "Copy");
  button.addEventListener("click", () => copyText(wording, button));
  return h("div", { class: "fallback" }, h("h4", {}, "Fallback wording"), h("p", {}, wording), button);
};

const verdict = (contract, rule, go) => {
  const [title, clause, outcome, severity, why, wording, spans] = rule;
  return h("li", { class: `verdict ${outcome.replace(/ /g, "-")}` },
    h("h3", {}, own(said(title))),
    h("p", { class: "outcome" },
      outcome === "compliant" ? null : level("severity", severity),
      h("span", {}, outcome),
      said(clause) !== said(title) && h("span", { class: "clause" }, own(said(clause)))),
    h("p", { class: "why" }, own(said(why))),
    evidence(contract, spans, go),
    outcome === "compliant" ? null : fallback(said(wording)));
};

const drawVerdicts = (contract, go) => {
  if (!contract.book) return null;
  const open = contract.rules.filter(([, , outcome]) => outcome !== "compliant");
  const fine = contract.rules.filter(([, , outcome]) => outcome === "compliant");
  return h("section", { "aria-labelledby": "verdicts-title" },
    h("h2", { id: "verdicts-title" }, "Playbook"),
    h("p", { class: "explain" }, own(contract.book[0]), ` ${contract.book[1]}: `, open.length ? `${plural(open.length, "rule asks", "rules ask")} for attention, ${fine.length} satisfied` : `all ${fine.length} rules satisfied`),
    h("ol", { class: "verdicts" }, open.map((rule) => verdict(contract, rule, go))),
    fine.length > 0 && h("details", {}, h("summary", {}, `${plural(fine.length, "rule", "rules")} satisfied`), h("ol", { class: "verdicts" }, fine.map((rule) => verdict(contract, rule, go)))));
};

const meter = (score) => svg("svg", { class: "meter", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
  svg("rect", { class: "track", width: 100, height: 4 }), svg("rect", { class: "fill", width: 100 * (score || 0), height: 4 }));

const finding = (contract, label, state, score, abstained, spans, go, failed = 0) => h("li", { class: abstained ? "finding abstained" : "finding" },
  h("h3", {}, own(label)),
  h("p", { class: "outcome" }, h("span", {}, abstained ? `abstained (leans ${state})` : state), meter(score), h("span", { class: "number" }, percent(score))),
  failed > 0 && h("p", { class: "explain" }, `${plural(failed, "quotation", "quotations")} by the model not in the document, dropped`),
  evidence(contract, spans, go, 240));

const drawFindings = (contract, go) => {
  if (!contract.findings.length) return null;
  const order = [...contract.findings].sort((a, b) => b[3] - a[3] || b[2] - a[2]);
  const shown = order.filter(([, present, , abstained]) => present || abstained);
  const absent = order.filter(([, present, , abstained]) => !present && !abstained);
  return h("section", { "aria-labelledby": "findings-title" },
    h("h2", { id: "findings-title" }, "Clauses"),
    h("p", { class: "explain" }, "The figure is the probability that the clause is present."),
    h("ol", { class: "findings" }, shown.map(([clause, present, score, abstained, spans, failed]) =>
      finding(contract, said(clause), present ? "present" : "absent", score, abstained, spans, go, failed))),
    absent.length > 0 && h("details", {}, h("summary", {}, `${plural(absent.length, "clause", "clauses")} absent`),
      h("ul", { class: "absentees" }, absent.map(([clause, , score]) => h("li", {}, own(said(clause)), " ", h("small", {}, percent(score)))))));
};

const drawAnswers = (contract, go) => contract.nda.length === 0 ? null : h("section", { "aria-labelledby": "nda-title" },
  h("h2", { id: "nda-title" }, "Confidentiality questions"),
  h("p", { class: "explain" }, "The figure is the probability of the answer."),
  h("ol", { class: "findings" }, contract.nda.map(([hypothesis, label, score, abstained, spans]) =>
    finding(contract, said(hypothesis), { Entailment: "yes", Contradiction: "no", NotMentioned: "not mentioned" }[label] || label, score, abstained, spans, go))));

// A part that is missing is said where it would stand.
const drawAssessed = (contract, go) => {
  if (contract.lacks.length) return h("section", { class: "assessed", "aria-labelledby": "assessed-title" },
    h("h2", { id: "assessed-title" }, "Risk agent"),
    contract.lacks.map((words) => h("p", { class: "notice degraded" }, own(said(words)))));
  if (!contract.assessed) return null;
  const [judged, summary, drivers, unfounded, model] = contract.assessed;
  return h("section", { class: "assessed", "aria-labelledby": "assessed-title" },
    h("h2", { id: "assessed-title" }, "Risk agent"),
    h("p", { class: "explain" }, "The word of ", own(model || "a model"), ", beside the playbook’s and without effect on it."),
    h("p", { class: "verdict-line" }, level("risk", judged), " risk"),
    h("p", { class: "why" }, own(summary)),
    drivers.length > 0 && h("ol", { class: "findings" }, drivers.map(([about, why, spans]) => h("li", { class: "finding" },
      h("h3", {}, own(about)), h("p", {}, own(why)), evidence(contract, spans, go, 320)))),
    unfounded > 0 && h("p", { class: "explain" }, `${plural(unfounded, "driver", "drivers")} dropped: not founded on words of the document`));
};

// Characters that show nothing and can hide or reorder words: shown by their code point.
const HIDDEN = /[\u0000-\u0008\u000e-\u001f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/u;
const visible = (text) => {
  const nodes = [];
  let rest = text;
  for (let found = HIDDEN.exec(rest); found; found = HIDDEN.exec(rest)) {
    const code = "U+" + found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    nodes.push(rest.slice(0, found.index), h("span", { class: "hidden-character", title: "a character that shows nothing" }, code));
    rest = rest.slice(found.index + found[0].length);
  }
  nodes.push(rest);
  return nodes;
};

// Offsets count code points; JavaScript counts UTF-16 units, which is the same unless there are surrogate pairs.
const passages = (text) => text.parts.map(([start, words]) => {
  const points = /[\ud800-\udfff]/.test(words) ? Array.from(words) : null;
  return {
    start,
    end: start + (points || words).length,
    cut: (from, to) => (points ? points.slice(from - start, to - start).join("") : words.slice(from - start, to - start)),
  };
});

const words = (contract, span, most = 360) => {
  const [start, end, quote] = contract.spans[span];
  const part = quote === undefined && contract.passages.find((each) => each.start <= start && start < each.end);
  const text = part ? part.cut(start, Math.min(end, part.end)) : quote || "";
  const short = text.replace(/\s+/g, " ").trim();
  return short.length > most ? short.slice(0, most - 1) + "…" : short;
};

// Which notes (a finding, a verdict, an alert) lie on each span.
const notesBySpan = (contract) => {
  const notes = new Map();
  const note = (spans, kind, label, more) => {
    spans.forEach((span, at) => {
      // Spans come best first: what follows the first is a further candidate, and must not look like the finding.
      const further = at > 0 && kind !== "alert";
      notes.set(span, [...(notes.get(span) || []), { kind: further ? "candidate" : kind, label, more: more + (further ? ", further candidate" : "") }]);
    });
  };
  for (const [kind, why, spans] of contract.alerts) note(spans, "alert", kind, why);
  for (const [about, why, spans] of contract.assessed ? contract.assessed[2] : []) note(spans, "rule", about, why);
  for (const [title, , outcome, severity, , , spans] of contract.rules) {
    note(spans, outcome === "compliant" ? "compliant" : "rule", said(title), outcome === "compliant" ? outcome : `${outcome}, ${severity}`);
  }
  for (const [clause, , score, abstained, spans] of contract.findings) {
    note(spans, "finding", said(clause), percent(score) + (abstained ? ", abstained" : ""));
  }
  for (const [hypothesis, label, score, abstained, spans] of contract.nda) {
    note(spans, "finding", said(hypothesis), `${label}, ${percent(score)}${abstained ? ", abstained" : ""}`);
  }
  for (const [name, role, spans] of contract.parties) note(spans, "fact", "Party", role || name);
  for (const [kind, value, spans] of contract.facts) note(spans, "fact", kind, value);
  return notes;
};

const STRENGTH = ["candidate", "fact", "compliant", "finding", "rule", "alert"];

// Spans overlap: the text is cut at every border, and each piece knows all the spans that lie on it.
const markUp = (part, contract, notes, anchors) => {
  const within = [];
  contract.spans.forEach(([start, end], span) => {
    if (start !== null && notes.has(span) && start < part.end && end > part.start) {
      within.push([Math.max(start, part.start), Math.min(end, part.end), span]);
    }
  });
  const borders = [...new Set([part.start, part.end, ...within.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
  const nodes = [];
  for (let at = 0; at + 1 < borders.length; at += 1) {
    const [from, to] = [borders[at], borders[at + 1]];
    const over = within.filter(([start, end]) => start <= from && to <= end).map(([, , span]) => span);
    const text = visible(part.cut(from, to));
    if (!over.length) {
      nodes.push(...text);
      continue;
    }
    const kinds = over.flatMap((span) => notes.get(span).map((each) => each.kind));
    const strongest = STRENGTH[Math.max(...kinds.map((kind) => STRENGTH.indexOf(kind)))];
    const piece = h("mark", { class: `on-${strongest}${over.length > 1 ? " several" : ""}`, "data-spans": over.join(" ") }, text);
    for (const span of over) {
      if (!anchors.has(span)) {
        anchors.set(span, []);
        piece.setAttribute("tabindex", "0");
        piece.setAttribute("aria-describedby", "tip");
      }
      anchors.get(span).push(piece);
    }
    nodes.push(piece);
  }
  return nodes;
};

const EXPLAIN = {
  whole: () => "The whole text.",
  excerpts: (text) => `Excerpts around what this page cites; the whole text, ${integer(text.length)} characters: ${text.path}`,
  quotes: () => "The text is not at hand: quotations only.",
};

const drawText = (contract, notes, anchors) => {
  const text = h("div", { class: "text", id: "text" });
  contract.passages.forEach((part, at) => {
    const before = at ? contract.passages[at - 1].end : 0;
    if (part.start > before) text.append(h("p", { class: "left-out" }, contract.text.kind === "quotes" ? "…" : `${integer(part.start - before)} characters left out`));
    text.append(h("div", { class: "passage", dir: "auto" }, markUp(part, contract, notes, anchors)));
  });
  return h("section", { class: "reading", "aria-labelledby": "text-title" },
    h("h2", { id: "text-title" }, "Text"),
    h("p", { class: "explain" }, EXPLAIN[contract.text.kind](contract.text)),
    text,
    h("button", { type: "button", class: "quiet back", id: "back", hidden: true }, "↑ Back"));
};

const tip = $("#tip");
let tipOn = null;
const hideTip = () => {
  tip.hidden = true;
  tipOn = null;
};
const placeTip = () => {
  const box = tipOn.getClientRects()[0];
  if (!box || box.bottom < 0 || box.top > innerHeight) return hideTip();
  const left = Math.min(Math.max(8, box.left), document.documentElement.clientWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 6}px`;
  return undefined;
};
addEventListener("scroll", () => tipOn && placeTip(), { capture: true, passive: true });

const showTip = (piece, notes) => {
  const lines = piece.dataset.spans.split(" ").flatMap((span) => notes.get(Number(span)) || []);
  tip.replaceChildren(...lines.slice(0, 8).map(({ kind, label, more }) => h("p", { class: "on-" + kind }, h("b", {}, own(label)), " ", own(more))));
  tip.hidden = false;
  tipOn = piece;
  placeTip();
};

const watchMarks = (root, notes) => {
  const over = (event) => {
    const piece = event.target.closest?.("mark");
    if (piece) showTip(piece, notes);
    else hideTip();
  };
  root.addEventListener("mouseover", over);
  root.addEventListener("focusin", over);
  for (const gone of ["mouseleave", "focusout"]) root.addEventListener(gone, hideTip);
};

const jump = (anchors, span) => {
  const from = document.activeElement;
  for (const piece of document.querySelectorAll("mark.current")) piece.classList.remove("current");
  const pieces = anchors.get(span);
  for (const piece of pieces) piece.classList.add("current");
  const pane = $("#text");
  if (getComputedStyle(pane).overflowY === "auto") {
    // A third down the part of the pane that can be seen: it may begin far below the window's top.
    const box = pane.getBoundingClientRect();
    const [top, bottom] = [Math.max(0, box.top), Math.min(innerHeight, box.bottom)];
    if (bottom - top < 160) pane.scrollIntoView({ block: "center", behavior: "instant" });
    const target = bottom - top < 160 ? innerHeight / 2 : top + (bottom - top) / 3;
    pane.scrollBy({ top: pieces[0].getBoundingClientRect().top - target, behavior: "instant" });
  } else {
    pieces[0].scrollIntoView({ block: "center", behavior: "instant" });
    const back = $("#back");
    back.hidden = false;
    back.onclick = () => {
      back.hidden = true;
      from.scrollIntoView({ block: "center", behavior: "instant" });
      from.focus({ preventScroll: true });
    };
  }
  pieces[0].focus({ preventScroll: true });
};

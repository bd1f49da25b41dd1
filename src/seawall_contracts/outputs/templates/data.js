const block = (id) => JSON.parse(document.getElementById(id).textContent);
const phrases = block("phrases");
const said = (phrase) => (typeof phrase === "number" ? phrases[phrase] : phrase);

const NOT_FOUND = "not found";
const RISKS = ["critical", "high", "medium", "low"];
const ROUTES = ["escalate", "legal review", "accept"];

const contracts = block("index").map((entry, at) => {
  const contract = {
    at,
    file: entry.file,
    failed: entry.status === "failed",
    error: entry.error || "",
    title: entry.title || "",
    parties: entry.parties || [],
    type: entry.type === undefined ? null : said(entry.type),
    law: entry.law === undefined ? null : entry.law === null ? NOT_FOUND : said(entry.law),
    risk: entry.risk ?? null,
    route: entry.route ?? null,
    deviations: (entry.deviations || []).map(said),
    missing: (entry.missing || []).map(said),
    lawyer: entry.lawyer || 0,
    abstained: entry.abstained || 0,
    alerts: (entry.alerts || []).map(said),
    cost: entry.cost ?? null,
    copy: entry.copy || false,
    degraded: (entry.degraded || []).map(said),
  };
  contract.words = [contract.file, contract.title, contract.type, contract.law, contract.error,
    ...contract.parties, ...contract.deviations, ...contract.missing, ...contract.alerts].join("\n").toLowerCase();
  return contract;
});

// Blocks after this script may not have been parsed yet when the first page is drawn.
const page = (at) => {
  const element = document.getElementById("c" + at);
  if (element) return JSON.parse(element.textContent);
  return document.readyState === "loading" ? null : {};
};

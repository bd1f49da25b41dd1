const sections = [...document.querySelectorAll("section.page")];

const show = (moved) => {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, at] = path.split("/");
  const wanted = sections.find((each) => each.dataset.page === name) || sections[0];
  hideTip();
  if (wanted.dataset.page === "contracts") showTable(search || "");
  if (wanted.dataset.page === "contract") drawContract(wanted, Number(at));
  for (const each of sections) each.hidden = each !== wanted;
  for (const link of document.querySelectorAll(".masthead a[data-page]")) {
    const here = link.dataset.page === wanted.dataset.page || (link.dataset.page === "contracts" && wanted.dataset.page === "contract");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = $("h1", wanted);
  document.title = `${title ? title.textContent.trim().replace(/\s+/g, " ").slice(0, 80) : "Report"} · Contract review`;
  if (!moved) return;
  scrollTo({ top: 0, behavior: "instant" });
  title?.focus({ preventScroll: true });
};

addEventListener("hashchange", (event) => {
  // The skip link's target is no page.
  if (new URL(event.newURL).hash !== "#main") show(true);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    if (!location.hash.startsWith("#/contracts")) location.hash = "#/contracts";
    setTimeout(() => form.elements.q.focus(), 50);
  }
});
// Sorted before the first visit of the list, so that "previous" and "next" follow its order.
form.elements.sort.value = DEFAULT_SORT;
listed = sorted(contracts);
document.documentElement.classList.add("scripted");
show(false);

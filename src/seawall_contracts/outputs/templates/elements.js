const $ = (selector, root = document) => root.querySelector(selector);

// Builds elements from text alone: nothing in this page ever parses HTML.
const h = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// Names come from documents: isolated, so that a right-to-left mark in one cannot reorder its surroundings.
const own = (text) => h("bdi", {}, text);

const money = (usd) => {
  if (usd === null || usd === undefined) return "unknown";
  if (usd === 0) return "$0";
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : 4;
  return "$" + usd.toLocaleString("en", { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits });
};
const integer = (number) => number.toLocaleString("en");
// Never rounded to certainty.
const percent = (share) => {
  if (share === null) return "–";
  if (share >= 0.999) return "> 99.9 %";
  return share < 0.001 ? "< 0.1 %" : (share * 100).toFixed(share > 0.985 || share < 0.015 ? 1 : 0) + " %";
};
const duration = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? (seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0) + " ms" : seconds.toFixed(1) + " s";
};
const plural = (count, one, many) => `${integer(count)} ${count === 1 ? one : many}`;

const level = (kind, name) => h("span", { class: `level tone-${(name || "unknown").replace(/ /g, "-")}`, title: kind }, name || "unknown");

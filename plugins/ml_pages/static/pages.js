// Theme, tooltips and keys. Without this file every page still shows all it has: tables stand below.
"use strict";

const root = document.documentElement;

function theme() {
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage is shut: the system's choice holds */ }
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  else delete root.dataset.theme;
}
theme();
addEventListener("storage", theme);  // Airflow's own page, around this one, changed it

// Airflow shows pages in a frame that may not leave it: its own page is asked to go there.
function leave(event, link) {
  if (window.parent === window) return;
  try {
    const outer = window.parent.document.createElement("a");
    outer.href = link.href;
    if (link.dataset.top === "new" || event.ctrlKey || event.metaKey) outer.target = "_blank";
    event.preventDefault();
    outer.click();
  } catch { /* a frame of somebody else's: the link works within it */ }
}

function tooltip() {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  box.setAttribute("role", "status");
  document.body.append(box);
  return {
    show(text, x, y) {
      box.textContent = text;
      box.hidden = false;
      const { width, height } = box.getBoundingClientRect();
      box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
      box.style.top = `${y + height + 22 > innerHeight ? Math.max(4, y - height - 10) : y + 16}px`;
    },
    hide() { box.hidden = true; },
  };
}

function beside(element) {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + Math.min(box.height / 2, 60)];
}

function tips(tip) {
  for (const element of document.querySelectorAll("[data-tip]")) {
    element.querySelector("title")?.remove();
    element.addEventListener("mousemove", (e) => tip.show(element.dataset.tip, e.clientX, e.clientY));
    element.addEventListener("mouseleave", tip.hide);
    element.addEventListener("focus", () => tip.show(element.dataset.tip, ...beside(element)));
    element.addEventListener("blur", tip.hide);
  }
}

// A chart is one stop of the tab key; arrows go from point to point.
function rove(group) {
  const points = [...group.querySelectorAll("a")];
  points.forEach((point, n) => point.setAttribute("tabindex", n === points.length - 1 ? "0" : "-1"));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -points.length, End: points.length }[event.key];
    if (!step) return;
    event.preventDefault();
    const now = points.indexOf(document.activeElement);
    const next = Math.max(0, Math.min(points.length - 1, now + step));
    points[now]?.setAttribute("tabindex", "-1");
    points[next].setAttribute("tabindex", "0");
    points[next].focus();
  });
}

// The heat map's cells are shapes without words: what they say stands in the table below it.
function heat(map, tip) {
  const table = document.getElementById(map.dataset.table);
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const rows = [...table.tBodies[0].rows];
  const cursor = map.querySelector(".cursor");
  let place = [0, heads.length - 1];
  const at = (event) => {
    const box = map.getBoundingClientRect();
    const part = (from, size, number) => Math.max(0, Math.min(number - 1, Math.floor((from / size) * number)));
    return [
      part(event.clientY - box.top, box.height, Number(map.dataset.rows)),
      part(event.clientX - box.left, box.width, heads.length),
    ];
  };
  const show = (x, y) => {
    const [row, column] = place;
    const cell = rows[row].cells[column + 1];
    const head = heads[column];
    cursor.setAttribute("x", column);
    cursor.setAttribute("y", row);
    cursor.removeAttribute("hidden");
    const said = cell.dataset.day
      ? `${cell.textContent.trim()} of the way to an alarm\nfurthest on ${cell.dataset.day}, value ${cell.dataset.value}`
      : "not looked at";
    tip.show(`${rows[row].cells[0].textContent.trim()}\n${head.dataset.label}\n${said}`, x, y);
  };
  const hide = () => { tip.hide(); cursor.setAttribute("hidden", ""); };
  const open = (event) => {
    const link = heads[place[1]].querySelector("a");
    if (link) { leave(event, link); if (!event.defaultPrevented) location.href = link.href; }
  };
  const reach = () => {
    const box = map.getBoundingClientRect();
    show(box.left + ((place[1] + 0.5) / heads.length) * box.width, box.top + ((place[0] + 0.5) / Number(map.dataset.rows)) * box.height);
  };
  map.addEventListener("mousemove", (event) => { place = at(event); show(event.clientX, event.clientY); });
  map.addEventListener("mouseleave", hide);
  map.addEventListener("focus", reach);
  map.addEventListener("blur", hide);
  map.addEventListener("click", (event) => { place = at(event); open(event); });
  map.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { open(event); return; }
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    place = [
      Math.max(0, Math.min(Number(map.dataset.rows) - 1, place[0] + step[0])),
      Math.max(0, Math.min(heads.length - 1, place[1] + step[1])),
    ];
    reach();
  });
}

addEventListener("DOMContentLoaded", () => {
  const tip = tooltip();
  tips(tip);
  document.querySelectorAll("[data-rove]").forEach(rove);
  document.querySelectorAll("[data-table]").forEach((map) => heat(map, tip));
  document.querySelectorAll("a[data-top]").forEach((link) => link.addEventListener("click", (event) => leave(event, link)));
  document.querySelectorAll("form.choose").forEach((form) => {
    form.querySelector("button").hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
  });
});

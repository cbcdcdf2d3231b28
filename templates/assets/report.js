// Charts and tables of the generated pages. Loaded once, as a module; navigation replaces only the content.

const here = (name) => new URL(name, import.meta.url).href;
const scheme = () => document.body.dataset.mdColorScheme ?? "default";

// --- Charts ----------------------------------------------------------------------------------------------

const specs = new Map(); // address of a specification -> promise of it
const views = new Map(); // element of a chart -> what vega-embed returned for it
const turns = new WeakMap(); // element of a chart -> number of its latest drawing, so that a late one gives way
let embed, style;

// No menu, and no style sheets added to the page: navigation would drop them again.
const plain = {
  mode: "vega-lite",
  renderer: "svg",
  ast: true,
  actions: false,
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};

function once(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

async function json(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${answer.status} for ${url}`);
  return answer.json();
}

function loadVega() {
  embed ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = here("vega.js");
    script.onload = () => resolve(window.vegaEmbed);
    script.onerror = () => {
      embed = undefined;
      reject(new Error(`no ${script.src}`));
    };
    document.head.append(script);
  });
  return embed;
}

// The style is shared with the static images; each colour in it is the name of a custom property of the page.
function filled(node, look) {
  if (typeof node === "string") {
    return node.replace(/^var\((--[\w-]+)\)$/, (_, name) => look.getPropertyValue(name).trim());
  }
  if (Array.isArray(node)) return node.map((item) => filled(item, look));
  if (node === null || typeof node !== "object") return node;
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, filled(value, look)]));
}

async function chartStyle(width) {
  style ??= json(here("chart-config.json"));
  const look = getComputedStyle(document.body);
  const config = filled(await style, look);
  config.font = look.getPropertyValue("font-family");
  config.legend.columns = Math.max(1, Math.min(4, Math.floor(width / 150)));
  if (width < 480) config.axis.labelLimit = Math.round(width / 4);
  return config;
}

async function draw(element) {
  const turn = (turns.get(element) ?? 0) + 1;
  turns.set(element, turn);
  element.dataset.begun = "";
  const colours = scheme();
  const url = element.dataset.url;
  const host = element.querySelector(".rc-live") ?? element.appendChild(document.createElement("div"));
  host.classList.add("rc-live");
  try {
    const [vegaEmbed, spec, config] = await Promise.all([
      loadVega(),
      once(specs, url, () => json(url)),
      chartStyle(element.clientWidth),
    ]);
    if (turns.get(element) !== turn || !element.isConnected) return;
    views.get(element)?.finalize();
    const view = await vegaEmbed(host, structuredClone(spec), { config, ...plain });
    if (turns.get(element) !== turn || !element.isConnected) return view.finalize();
    views.set(element, view);
    element.dataset.drawn = colours;
  } catch (error) {
    specs.delete(url); // the static image stays; a later visit tries again
    console.warn(`Chart not drawn: ${error.message}`);
  }
}

// A chart is drawn when it comes near the window, and so never in a closed tab, where it would have no width.
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "600px" },
);

function charts() {
  for (const [element, view] of views) {
    if (element.isConnected) continue;
    view.finalize();
    views.delete(element);
    document.getElementById("vg-tooltip-element")?.remove();
  }
  for (const element of document.querySelectorAll(".rc-chart:not([data-watched])")) {
    element.dataset.watched = "";
    element.dataset.url = new URL(element.dataset.src, document.baseURI).href; // while the page is at its address
    watcher.observe(element);
  }
}

// --- Tables ----------------------------------------------------------------------------------------------

const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function comparison(column, numeric, direction) {
  const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  return (a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === "" || right === "") return (left === "") - (right === ""); // nothing is neither first nor last
    return direction * (numeric ? Number(left) - Number(right) : order.compare(left, right));
  };
}

// The first click sorts texts upwards and numbers downwards, the second the other way, the third not at all.
function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const numeric = head.dataset.kind === "number";
    const cycle = numeric ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = cycle[(cycle.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      const direction = next === "ascending" ? 1 : -1;
      body.append(...(next === "none" ? original : original.toSorted(comparison(column, numeric, direction))));
    });
  });
}

function filterable(box, rows) {
  const bar = document.createElement("div");
  const input = document.createElement("input");
  const count = document.createElement("span");
  bar.className = "rc-table__bar";
  input.type = "search";
  input.placeholder = box.dataset.filter;
  input.setAttribute("aria-label", box.dataset.filter);
  count.setAttribute("role", "status");
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
  };
  input.addEventListener("input", show);
  show();
  bar.append(input, count);
  box.querySelector(".rc-table__scroll").before(bar);
}

function tables() {
  for (const box of document.querySelectorAll(".rc-table:not([data-ready])")) {
    box.dataset.ready = "";
    const table = box.querySelector("table");
    if (box.dataset.filter) filterable(box, [...table.tBodies[0].rows]);
    if (table.tBodies[0].rows.length > 1) sortable(table);
  }
}

// --- Start -----------------------------------------------------------------------------------------------

// What the address names is marked, and opened if it is folded. A class does it, since the browser does not
// match :target after an instant navigation.
function point() {
  for (const former of document.querySelectorAll(".rc-target")) former.classList.remove("rc-target");
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return undefined;
  target.classList.add("rc-target");
  if (target instanceof HTMLDetailsElement) target.open = true;
  return target;
}

let path; // of the page that is shown
let returning = false; // whether the reader came by the back or forward button

function arrive() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  tables();
  charts();
  const target = point();
  if (target && path && path !== location.pathname && !returning) {
    // After an instant navigation the theme scrolls there only if the page came quickly.
    requestAnimationFrame(() => target.scrollIntoView({ behavior: "instant" }));
  }
  path = location.pathname;
  returning = false;
}

if (window.document$) window.document$.subscribe(arrive);
else arrive();
addEventListener("hashchange", point);
addEventListener("popstate", () => (returning = path !== location.pathname));

const redraw = () => document.querySelectorAll(".rc-chart[data-begun]").forEach(draw);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });

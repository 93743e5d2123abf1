() => {
  const found = [];
  const say = (rule, node, more = "") => found.push(rule + ": " + (node.outerHTML || node).slice(0, 140) + " " + more);
  const all = (choice) => [...document.querySelectorAll(choice)];
  const seen = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const named = (node) => {
    const by = (node.getAttribute("aria-labelledby") || "").split(/\s+/).map((id) => document.getElementById(id));
    const text = [node.getAttribute("aria-label"), node.innerText, ...by.map((one) => one && one.innerText), node.title,
      ...[...node.querySelectorAll("img")].map((img) => img.alt)];
    return text.some((one) => (one || "").trim());
  };

  if (!document.documentElement.lang) say("lang", document.documentElement);
  if (!document.title.trim()) say("title", document.head);
  if (all("main").length !== 1) say("one main", document.body);
  if (all("h1").length !== 1) say("one h1", document.body, String(all("h1").length));
  if (!all("header").length || !all("footer").length) say("landmarks", document.body);
  for (const nav of all("nav")) if (!named(nav) || !nav.getAttribute("aria-label")) say("navigation has a name", nav);
  const skip = document.querySelector("a[href^='#']");
  if (!skip || document.body.firstElementChild !== skip || !document.getElementById(skip.hash.slice(1))) say("skip link first", document.body);

  let level = 0;
  for (const one of all("h1,h2,h3,h4,h5,h6").filter(seen)) {
    const now = Number(one.nodeName[1]);
    if (now > level + 1) say("heading order", one);
    level = now;
  }
  const ids = new Set();
  for (const one of all("[id]")) {
    if (ids.has(one.id)) say("duplicate id", one);
    ids.add(one.id);
  }
  for (const one of all("input:not([type=hidden]),select,textarea")) {
    const label = one.getAttribute("aria-label") || [...(one.labels || [])].map((l) => l.innerText).join("");
    if (!label.trim()) say("label", one);
  }
  for (const one of all("a[href],button,summary,[role=button]").filter(seen)) if (!named(one)) say("name", one);
  for (const one of all("progress,meter,table,section")) {
    const caption = one.querySelector(":scope > caption");
    if (!(caption && caption.textContent.trim()) && !one.getAttribute("aria-label") && !one.getAttribute("aria-labelledby") && one.nodeName !== "SECTION") say("name", one);
  }
  for (const one of all("img")) if (!one.hasAttribute("alt")) say("alt", one);
  for (const one of all("th")) if (!one.scope) say("scope", one);
  for (const one of all("li")) if (!/^(UL|OL|MENU)$/.test(one.parentNode.nodeName)) say("list", one);
  for (const one of all("dt,dd")) if (one.parentNode.nodeName !== "DL") say("list", one);
  for (const one of all("[tabindex]")) if (one.tabIndex > 0) say("tabindex above 0", one);
  for (const one of all("[accesskey],marquee,blink,meta[http-equiv=refresh]")) say("takes over", one);
  if (/user-scalable|maximum-scale/.test(document.querySelector("meta[name=viewport]").content)) say("zoom", document.head);

  const ROLES = new Set(["alert", "status", "search", "group", "log", "dialog", "img", "list", "listitem", "table", "row", "cell", "tablist", "tab", "tabpanel", "region", "progressbar", "presentation", "none", "note"]);
  const ARIA = { "aria-label": null, "aria-labelledby": "ids", "aria-describedby": "ids", "aria-controls": "ids", "aria-keyshortcuts": null, "aria-live": ["off", "polite", "assertive"], "aria-atomic": ["true", "false"], "aria-busy": ["true", "false"], "aria-hidden": ["true", "false"], "aria-expanded": ["true", "false"], "aria-pressed": ["true", "false", "mixed"], "aria-sort": ["none", "ascending", "descending", "other"], "aria-current": ["page", "step", "location", "date", "time", "true", "false"] };
  for (const one of all("*")) {
    const role = one.getAttribute("role");
    if (role && !ROLES.has(role)) say("role", one);
    for (const { name, value } of one.attributes) {
      if (name.startsWith("on") || name === "style") say("inline", one);
      if (!name.startsWith("aria-")) continue;
      if (!(name in ARIA)) say("aria name", one);
      else if (ARIA[name] === "ids") { if (value.split(/\s+/).some((id) => !document.getElementById(id))) say("aria id", one); }
      else if (ARIA[name] ? !ARIA[name].includes(value) : !value.trim()) say("aria value", one);
    }
    if (one.getAttribute("aria-hidden") === "true" && one.querySelector("a,button,input,select,textarea,[tabindex]")) say("hidden and focusable", one);
  }

  // Contrast, as drawn. Colours come as rgb() or color(srgb …).
  const parse = (text) => {
    const numbers = text.match(/-?[\d.]+(?:e-?\d+)?/g).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return { rgb: numbers.slice(0, 3).map((n) => n * scale), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const over = (top, under) => ({ rgb: top.rgb.map((n, i) => n * top.alpha + under.rgb[i] * (1 - top.alpha)), alpha: 1 });
  const behind = (node) => {
    const layers = [];
    for (let one = node; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), { rgb: [255, 255, 255], alpha: 1 });
  };
  const light = ({ rgb }) => {
    const [r, g, b] = rgb.map((n) => n / 255).map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const checked = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !seen(node) || checked.has(node)) continue;
    checked.add(node);
    if (node.closest("button:disabled,option")) continue;
    const style = getComputedStyle(node);
    const size = parseFloat(style.fontSize);
    const big = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const under = behind(node);
    const has = ratio(over(parse(style.color), under), under);
    if (has < (big ? 3 : 4.5)) say("contrast", node, has.toFixed(2));
  }
  for (const one of all("input:not([type=hidden]):not([type=checkbox]),select,textarea").filter(seen)) {
    if (ratio(parse(getComputedStyle(one).borderTopColor), behind(one.parentElement)) < 3) say("edge of a control", one);
  }
  for (const one of all("input[placeholder]").filter(seen)) {
    const under = behind(one);
    if (ratio(over(parse(getComputedStyle(one, "::placeholder").color), under), under) < 4.5) say("placeholder", one);
  }
  for (const one of all("button,select,input:not([type=hidden]):not([type=checkbox])").filter(seen)) {
    const box = one.getBoundingClientRect();
    if (box.height < 24 || box.width < 24) say("too small", one, box.height.toFixed(1));
  }
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) {
    say("horizontal scroll", document.body.firstElementChild, wide + " px");
    for (const one of all("main *")) if (one.getBoundingClientRect().right > innerWidth + 1) { say("too wide", one); break; }
  }
  return found;
}

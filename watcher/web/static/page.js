// One script for every page: keeps it up to date, sends forms, remembers the theme.
// A page is made by the server; when something changed, the same address is asked for what stands in
// <main>, and only what differs is touched, so that focus, scrolling and what was typed stay.
"use strict";

const AT_MOST_EVERY_MS = 1000; // on the long run; the first few of a burst are asked for at once
const BURST = 3;
const SLOW_MS = 10000; // where there is no stream
const STALE_MS = 60000;
const SURE_MS = 8000;
const byId = (id) => document.getElementById(id);
const main = byId("main");
let etag = "";
let heardAt = Date.now(); // when the server last answered

// --- asking ---------------------------------------------------------------------------------

async function takeToken() { // from the fragment, which browsers never send, into a cookie
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search); // not into bookmarks
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await ask("/login", { method: "POST", headers, body: JSON.stringify({ token }) });
    if (answer.ok) location.reload();
    else answered((await answer.json()).detail, true);
  } catch (error) {
    answered("No answer: " + error.message, true);
  }
}

function ask(path, { method = "GET", headers = {}, body, signal } = {}) {
  const csrf = document.querySelector("meta[name=csrf]").content;
  if (csrf && method !== "GET") headers["X-Relayer-CSRF"] = csrf;
  return fetch(path, { method, headers, body, signal: signal || AbortSignal.timeout(15000), cache: "no-store" });
}

// --- morphing -------------------------------------------------------------------------------

const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || "" : "");

function morph(old, made) {
  if (old.nodeType !== 1) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  if (old.dataset.keep !== undefined) return;
  for (const { name, value } of made.attributes) {
    if (name === "open") continue; // the reader's own
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !made.hasAttribute(name)) old.removeAttribute(name);
  }
  const atEnd = old.dataset.tail !== undefined && old.scrollHeight - old.scrollTop - old.clientHeight < 30;
  morphChildren(old, made);
  if (atEnd) old.scrollTop = old.scrollHeight;
  const follows = old.form && old.form.dataset.live !== undefined && old !== document.activeElement;
  if (follows && old.nodeName === "INPUT") old.value = made.getAttribute("value") || "";
  if (follows && old.nodeName === "SELECT") old.value = made.value;
}

function morphChildren(old, made) {
  const keyed = new Map();
  for (const node of old.children) if (keyOf(node)) keyed.set(keyOf(node), node);
  const wanted = new Set([...made.children].map(keyOf));
  let at = old.firstChild;
  const skipGone = () => {
    while (at && keyOf(at) && !wanted.has(keyOf(at))) at = removed(at);
  };
  for (const node of [...made.childNodes]) {
    skipGone();
    const key = keyOf(node);
    const match = key ? keyed.get(key) : at && !keyOf(at) && at.nodeType === node.nodeType ? at : null;
    if (match && match.nodeName === node.nodeName) {
      if (match === at) at = at.nextSibling;
      else old.insertBefore(match, at);
      morph(match, node);
    } else {
      old.insertBefore(node, at);
    }
  }
  while (at) at = removed(at);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function show(html) {
  const made = new DOMParser().parseFromString("<main>" + html + "</main>", "text/html").querySelector("main");
  const focused = document.activeElement;
  morphChildren(main, made);
  if (focused !== document.activeElement && main.contains(focused)) focused.focus({ preventScroll: true });
  settle();
}

// --- times, and what a page needs after it was touched -----------------------------------------

function span(seconds) { // as `rendering.span`
  const left = Math.abs(seconds);
  if (left < 60) return seconds < 0 ? "in a moment" : "just now";
  const said = left < 5400 ? Math.round(left / 60) + " min" : left < 129600 ? Math.round(left / 3600) + " h" : Math.round(left / 86400) + " d";
  return seconds < 0 ? "in " + said : said + " ago";
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const tails = new WeakSet(); // logs that were shown to their end once

function settle() {
  for (const one of main.querySelectorAll("[data-tail]")) {
    if (tails.has(one)) continue;
    tails.add(one);
    one.scrollTop = one.scrollHeight;
  }
  // The server's clock counts, if it is another than the reader's: it said what is now.
  for (const one of main.querySelectorAll("time")) {
    const at = new Date(one.dateTime);
    if (one.dataset.local !== undefined) set(one, at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
    one.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
  document.documentElement.classList.add("scripted");
}

function tick() {
  for (const one of main.querySelectorAll("time[data-ago]")) set(one, span((Date.now() - new Date(one.dateTime)) / 1000));
}

// --- staying up to date ---------------------------------------------------------------------

let asking = null;
let askedAt = []; // the last few times
let timer = 0;
let again = false;

function changed() {
  if (asking) again = true;
  else if (!timer) timer = setTimeout(refresh, pause());
}

function pause() {
  if (askedAt.length < BURST) return 0;
  return Math.max(0, askedAt[0] + BURST * AT_MOST_EVERY_MS - Date.now());
}

async function refresh() {
  clearTimeout(timer);
  timer = 0;
  if (asking) asking.abort();
  const mine = (asking = new AbortController());
  again = false;
  askedAt = [...askedAt.slice(1 - BURST), Date.now()];
  try {
    const headers = { "Relayer-Fragment": "1", "If-None-Match": etag };
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(15000)]);
    const answer = await ask(location.pathname + location.search, { headers, signal });
    if (answer.status >= 500) throw new Error("the service answered " + answer.status);
    const isWhole = answer.ok && !answer.headers.has("Relayer-Role"); // a page that is not kept up to date
    if (answer.status !== 304 && !isWhole) {
      const html = await answer.text();
      if (mine !== asking) return;
      show(html);
      etag = answer.headers.get("ETag") || "";
    }
    if ((answer.ok && !isWhole) || answer.status === 304) named(answer.headers);
    heardAt = Date.now();
    trouble("");
  } catch (error) {
    if (mine === asking && Date.now() - heardAt > 5000) trouble("No answer: what stands here is of " + new Date(heardAt).toLocaleTimeString() + ".");
  } finally {
    if (mine === asking) {
      asking = null;
      if (again) changed();
    }
  }
}

function named(headers) {
  const csrf = headers.get("Relayer-CSRF") || ""; // keys change while a page stays open, and logins too
  for (const one of document.querySelectorAll("[name=csrf]")) one.setAttribute(one.nodeName === "META" ? "content" : "value", csrf);
  const who = headers.get("Relayer-Caller") || "";
  byId("caller").hidden = !who;
  byId("login-link").hidden = !!who;
  if (who) byId("caller").replaceChildren(who + " ", Object.assign(document.createElement("span"), { className: "quiet", textContent: headers.get("Relayer-Role") }));
  const title = new DOMParser().parseFromString(headers.get("Relayer-Title") || "", "text/html").body.textContent;
  if (title) document.title = title + " · Relayer";
}

function trouble(text) {
  byId("trouble").hidden = !text;
  set(byId("trouble"), text);
}

let downSince = 0;

function connection(state) {
  const shown = byId("connection");
  if (state !== "again") downSince = 0;
  else downSince = downSince || Date.now();
  const stale = downSince && Date.now() - downSince > STALE_MS;
  const since = new Date(downSince).toLocaleTimeString();
  shown.dataset.state = stale ? "stale" : state;
  set(shown, state === "live" ? "live" : state === "slow" ? "every " + SLOW_MS / 1000 + " s" : stale ? "stale since " + since : "reconnecting since " + since);
}

// fetch and not EventSource: that one does not say why it was refused.
async function listen(signal) {
  const answer = await ask("/events", { headers: { Accept: "text/event-stream" }, signal });
  if (!answer.ok) return answer.status;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return 0;
    connection("live");
    heardAt = Date.now();
    text += value;
    const end = text.lastIndexOf("\n\n");
    if (end < 0) continue;
    if (/^event: changed$/m.test(text.slice(0, end))) changed();
    text = text.slice(end + 2);
  }
}

let stream = null;

async function follow() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    const began = Date.now();
    let status = -1;
    if (!document.hidden) {
      stream = new AbortController();
      status = await listen(stream.signal).catch(() => -1);
    }
    if (document.hidden) { // a browser has six connections for all tabs of one server
      await new Promise((shown) => document.addEventListener("visibilitychange", shown, { once: true }));
      wait = 250;
      continue;
    }
    connection(status === 401 || status === 503 ? "slow" : "again");
    if (status > 0) wait = SLOW_MS;
    else if (Date.now() - began > 5000) wait = 500;
    await new Promise((passed) => setTimeout(passed, wait));
    changed();
  }
}

// --- forms ----------------------------------------------------------------------------------

function bodyOf(form) {
  const body = {};
  for (const one of form.elements) {
    if (!one.name || one.disabled) continue;
    if (one.type === "checkbox") body[one.name] = one.checked;
    else if (one.type === "number") body[one.name] = Number(one.value);
    else body[one.name] = one.value;
  }
  return JSON.stringify(body);
}

function answered(text, bad) {
  const shown = byId("answer");
  shown.className = bad ? "bad" : "";
  shown.hidden = !text;
  set(shown, text);
}

const sure = new WeakMap(); // form → what was asked about

async function send(form, button) {
  const path = button.dataset.post || form.dataset.post;
  const body = bodyOf(form);
  const what = button.dataset.sure || form.dataset.sure;
  const asked = path + body;
  if (what && (sure.get(form) || {}).asked !== asked) { // a second click means it, about the same
    calm(form);
    sure.set(form, { asked, button, was: button.textContent, timer: setTimeout(() => calm(form), SURE_MS) });
    button.dataset.keep = "";
    button.textContent = what;
    return;
  }
  calm(form);
  button.disabled = true;
  answered("…");
  try {
    const key = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
    const headers = { "Content-Type": "application/json", "Idempotency-Key": key };
    const answer = await ask(path, { method: form.dataset.method || "POST", headers, body });
    const said = await answer.json();
    answered(answer.ok ? said.sentence || "Done." : said.detail || answer.statusText, !answer.ok);
    if (answer.ok) form.reset();
  } catch (error) {
    answered("No answer: " + error.message, true);
  } finally {
    button.disabled = false;
    refresh();
  }
}

function calm(form) {
  const asked = sure.get(form);
  if (!asked) return;
  clearTimeout(asked.timer);
  sure.delete(form);
  delete asked.button.dataset.keep;
  asked.button.textContent = asked.was;
}

function go(url) { // the same page with another choice
  history.replaceState(null, "", url);
  etag = "";
  refresh();
}

function filter(form) {
  const chosen = new URLSearchParams([...new FormData(form)].filter(([name, value]) => value));
  go(location.pathname + (chosen.size ? "?" + chosen : ""));
}

let typing = 0;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form || form.dataset.live === undefined) return;
  clearTimeout(typing);
  typing = setTimeout(() => filter(form), event.target.type === "search" ? 120 : 0);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (["live", "post"].some((one) => one in form.dataset)) event.preventDefault();
  if (form.dataset.live !== undefined) filter(form);
  else if (form.dataset.post !== undefined) send(form, event.submitter || form.querySelector("button"));
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-live]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.href);
});
document.addEventListener("keydown", (event) => {
  const search = main.querySelector("input[type=search]");
  const writes = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.nodeName);
  if (event.key !== "/" || writes || event.ctrlKey || event.metaKey || event.altKey || !search) return;
  event.preventDefault();
  search.focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) stream.abort();
});

// --- theme ----------------------------------------------------------------------------------

const THEMES = ["", "light", "dark"];

function theme(chosen) {
  const root = document.documentElement;
  if (chosen) root.dataset.theme = chosen;
  else delete root.dataset.theme;
  set(byId("theme"), "Theme: " + (chosen || "system"));
}

byId("theme").hidden = false;
theme(document.documentElement.dataset.theme || "");
byId("theme").addEventListener("click", () => {
  const chosen = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme || "") + 1) % THEMES.length];
  document.cookie = "relayer-theme=" + chosen + "; path=/; SameSite=Strict; max-age=" + (chosen ? 31536000 : 0);
  theme(chosen);
});

addEventListener("hashchange", takeToken);
takeToken();
settle();
setInterval(tick, 15000);
follow();

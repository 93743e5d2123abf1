// The local page: polls the status, shows it, sends decisions.
// Whatever comes from a cluster is set as text, never as markup. The token comes from the URL's
// fragment, which browsers do not send, and leaves only in the Authorization header.
"use strict";

const EVERY_MS = 1000;
const WAY = ["waiting-for-build", "awaiting-approval", "scheduled", "applying", "rolling-out", "soaking", "done"];
const TONES = {
  "done": "good", "InStep": "good", "awaiting-approval": "ask", "Hold": "ask", "expired": "ask",
  "rejected": "ask", "superseded": "busy", "failed": "bad", "rolling-back": "bad", "rolled-back": "bad",
  "stuck": "bad",
};
const cards = new Map();
const byId = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!found) return;
  sessionStorage.setItem("token", found);
  history.replaceState(null, "", location.pathname);  // not into bookmarks and screenshots
}

async function ask(path, body) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers["Authorization"] = "Bearer " + token;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(10000), redirect: "error",
  });
  const data = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(data.detail || answer.statusText), { status: answer.status });
  return data;
}

function ago(now, at) {
  if (!at) return "never";
  const seconds = Math.max(0, Math.round((new Date(now) - new Date(at)) / 1000));
  if (seconds < 90) return seconds + " s ago";
  if (seconds < 5400) return Math.round(seconds / 60) + " min ago";
  return seconds < 129600 ? Math.round(seconds / 3600) + " h ago" : Math.round(seconds / 86400) + " d ago";
}

function tag(text) {
  return element("span", text, "tag " + (TONES[text] || "busy"));
}

function row(cells) {
  const made = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    td.append(cell);
    made.append(td);
  }
  return made;
}

function fill(id, rows) {
  byId(id).replaceChildren(...rows);
  byId("no-" + id).hidden = rows.length > 0;
}

function newCard(update) {
  const node = byId("card").content.firstElementChild.cloneNode(true);
  const part = {};
  for (const one of node.querySelectorAll("[data-is]")) part[one.dataset.is] = one;
  const card = { node, part, update, sure: 0 };
  part.decide.addEventListener("submit", (event) => event.preventDefault());
  part.approve.addEventListener("click", () => approve(card));
  part.reject.addEventListener("click", () => decide(card, "reject"));
  for (const state of WAY) part.way.append(element("li", state.replaceAll("-", " ")));
  byId("active").append(node);
  return card;
}

function approve(card) {
  if (card.sure !== card.update.binding) {  // nodes will reboot: a second click means it
    card.sure = card.update.binding;
    set(card.part.approve, "Approve: nodes will reboot, click again");
    return;
  }
  decide(card, "approve");
}

async function decide(card, what) {
  const { part, update } = card;
  part.approve.disabled = part.reject.disabled = true;
  set(part.answer, "…");
  try {
    const path = "/api/v1/updates/" + encodeURIComponent(update.id) + "/" + what;
    const data = await ask(path, { binding: update.binding, reason: part.reason.value });
    set(part.answer, data.sentence);
  } catch (error) {
    set(part.answer, error.message);
  } finally {
    card.sure = 0;
    set(part.approve, "Approve");
    part.approve.disabled = part.reject.disabled = false;
  }
}

function showCard(card, update, now) {
  const { part } = card;
  if (card.sure && card.sure !== update.binding) {  // it changed between two clicks
    card.sure = 0;
    set(part.approve, "Approve");
  }
  card.update = update;
  set(part.pool, update.cluster + "/" + update.pool);
  const later = update.state === "scheduled" && Date.parse(update.scheduled_for || "") > Date.parse(now);
  set(part.state, later ? "scheduled for " + new Date(update.scheduled_for).toLocaleString() : update.state);
  part.state.className = "state " + (TONES[update.state] || "busy");
  set(part.age, update.id + ", " + ago(now, update.changed_at));
  set(part.because, update.kind === "stock" ? "Back to the stock image: " + update.because : update.because);
  set(part.waiting, update.progress.phase === "rolling" ? "" : update.progress.waiting || "");
  const here = WAY.indexOf(update.state);
  [...part.way.children].forEach((step, number) => {
    step.className = number < here ? "passed" : number === here ? "here" : "";
  });
  part.way.hidden = here < 0;
  for (const name of ["release", "base", "image", "recipe"]) set(part[name], update[name] || "not known yet");
  const votes = update.approval.votes.map((vote) => vote.by).join(", ") || "none yet";
  const auto = update.approval.auto ? "by policy" : votes + " (" + update.approval.missing + " more needed)";
  set(part.votes, update.approval.by.length ? update.approval.by.join(", ") : auto);
  showNodes(part, update.progress);
  part.decide.hidden = update.state !== "awaiting-approval" && update.state !== "scheduled";
  part.approve.hidden = update.state !== "awaiting-approval";
  part.reason.placeholder = update.approval.reason_required ? "Reason (needed to reject)" : "Reason (optional)";
}

function showNodes(part, progress) {
  const total = progress.total || 0;
  part.rollout.hidden = !total;
  if (!total) return;
  part.nodes.max = total;
  part.nodes.value = progress.updated || 0;
  set(part["nodes-text"], (progress.updated || 0) + " of " + total + " nodes updated");
  const rows = (progress.nodes || []).map((node) => {
    const [word, tone] = nodeWord(node);
    return element("li", node.name + ": " + word, tone);
  });
  part["node-list"].replaceChildren(...rows);
}

function nodeWord(node) {
  if (node.updated) return node.ready ? ["updated", "good"] : ["updated, not ready", "busy"];
  if (node.state === "Done") return ["waiting", "quiet"];  // done with what it had before
  return [node.state, node.state === "Degraded" || node.state === "Unreconcilable" ? "bad" : "busy"];
}

function show(status) {
  const seen = new Set();
  for (const update of status.active) {
    seen.add(update.id);
    if (!cards.has(update.id)) cards.set(update.id, newCard(update));
    showCard(cards.get(update.id), update, status.at);
  }
  for (const [id, card] of cards) {
    if (seen.has(id)) continue;
    card.node.remove();
    cards.delete(id);
  }
  byId("no-active").hidden = seen.size > 0;
  fill("pools", status.pools.map((pool) => row([
    pool.cluster + "/" + pool.pool, pool.decision ? tag(pool.decision) : "", pool.because,
    pool.release, String(pool.nodes), ago(status.at, pool.at),
  ])));
  fill("recent", status.recent.map((update) => row([
    update.id, update.cluster + "/" + update.pool, tag(update.state),
    update.ended_because || update.because, update.approval.by.join(", "), ago(status.at, update.changed_at),
  ])));
  const dead = status.dead_letters ? ", " + status.dead_letters + " dead letter(s): see `relayer dead`" : "";
  set(byId("summary"), status.pools.length + " pools, " + status.active.length + " active" + dead);
}

function trouble(text) {
  byId("trouble").hidden = !text;
  set(byId("trouble"), text);
}

async function poll() {
  try {
    show(await ask("/api/v1/status"));
    trouble("");
    set(byId("connection"), "live");
  } catch (error) {
    set(byId("connection"), "not live");
    trouble(error.status === 401 ? "A token is needed: " + error.message : "No answer: " + error.message);
  }
  const has = sessionStorage.getItem("token") !== null;
  byId("login").hidden = has;
  byId("forget").hidden = !has;
  setTimeout(poll, EVERY_MS);
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  if (byId("token").value) sessionStorage.setItem("token", byId("token").value.trim());
  byId("token").value = "";
});
byId("forget").addEventListener("click", () => sessionStorage.removeItem("token"));
addEventListener("hashchange", takeToken);
takeToken();
poll();

// Live updates and local times. Without it the page works, as of the moment it was loaded.
"use strict";

const offline = document.getElementById("offline");
// Swedish writes ISO 8601: the order of day and month is never in doubt.
const formatTime = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

function localizeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (!Number.isNaN(at.getTime())) element.textContent = formatTime.format(at);
  }
}

// Make `have` equal to `want` by changing only what differs: focus, scrolling, opened details
// and loaded pictures stay.
function morph(have, want) {
  if (have.nodeName !== want.nodeName) {
    have.replaceWith(want);
  } else if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
  } else if (!have.isEqualNode(want)) {
    morphAttributes(have, want);
    morphChildren(have, want);
  }
}

function morphAttributes(have, want) {
  const isTheReaders = (name) => name === "open" && have.nodeName === "DETAILS";
  for (const { name } of [...have.attributes]) {
    if (!want.hasAttribute(name) && !isTheReaders(name)) have.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
}

function morphChildren(have, want) {
  let next = have.firstChild;
  for (const child of [...want.childNodes]) {
    const named = child.id ? [...have.children].find((other) => other.id === child.id) : null;
    if (named && named !== next) {
      have.insertBefore(named, next);
      morph(named, child);
    } else if (named || (next && next.nodeName === child.nodeName && !next.id && !child.id)) {
      const after = next.nextSibling;
      morph(next, child);
      next = after;
    } else {
      have.insertBefore(child, next);
    }
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

function elementOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localizeTimes(template.content);
  return template.content.firstElementChild;
}

// Put the rows of a list in order; new ones are made from their HTML, others leave.
function arrange(list, ids, html) {
  for (const row of [...list.children]) {
    if (!ids.includes(row.id)) row.remove();
  }
  let next = list.firstElementChild;
  for (const id of ids) {
    const row = document.getElementById(id) ?? (html[id] && elementOf(html[id]));
    if (!row) continue;
    if (row === next) next = next.nextElementSibling;
    else list.insertBefore(row, next);
  }
}

function apply({ html, lists }) {
  for (const [id, text] of Object.entries(html)) {
    const have = document.getElementById(id);
    if (have) morph(have, elementOf(text));
  }
  for (const [name, ids] of Object.entries(lists)) {
    const list = document.querySelector(`[data-list="${name}"]`);
    if (list) arrange(list, ids, html);
  }
}

let source = null;
let again = 0;

function connect() {
  disconnect();
  source = new EventSource(document.body.dataset.events);
  source.onmessage = (event) => {
    offline.hidden = true;
    apply(JSON.parse(event.data));
  };
  // The login has ended or changed: the page that comes instead says so.
  source.addEventListener("ended", () => location.reload());
  source.onerror = () => {
    offline.hidden = false;
    // An answer that is no stream ends the source for good; the browser does the rest itself.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(connectOrLogIn, 5000);
  };
}

async function connectOrLogIn() {
  const answer = await fetch(location.href, { method: "HEAD" }).catch(() => null);
  if (answer?.status === 401) location.reload();
  else connect();
}

function disconnect() {
  clearTimeout(again);
  source?.close();
  source = null;
}

localizeTimes(document);
const zone = document.getElementById("zone");
zone.textContent =
  zone.dataset.words.replace("{zone}", Intl.DateTimeFormat().resolvedOptions().timeZone);

if (document.body.dataset.events) {
  // A browser has six connections to a host: pages nobody looks at give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });
  if (!document.hidden) connect();
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
}

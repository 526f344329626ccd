// The draft of the rules, checked as one types. Without it the buttons do the same with a new page.
"use strict";

const draft = document.getElementById("draft");
const text = document.getElementById("text");
const gutter = draft.querySelector(".gutter");
const TYPING_PAUSE_MS = 400;
let typing = 0;
let latest = 0;
let queue = Promise.resolve();
let waiting = 0;

draft.querySelector(".without-script").hidden = true;
gutter.hidden = false;

// Line numbers beside the text; the line with the error has a mark of its own.
function drawGutter() {
  const count = text.value.split("\n").length;
  const wrong = Number(document.getElementById("flaw").dataset.line);
  if (gutter.childElementCount !== count) {
    gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
      const line = document.createElement("span");
      line.textContent = index + 1;
      return line;
    }));
  }
  gutter.querySelector(".wrong")?.classList.remove("wrong");
  gutter.children[wrong - 1]?.classList.add("wrong");
  text.setAttribute("aria-invalid", String(draft.querySelector(".flaw") !== null));
  follow();
}

function follow() {
  gutter.scrollTop = text.scrollTop;
}

// One after another, so that no older text is kept over a newer one.
function send(action, ids) {
  const mine = ++latest;
  const sent = queue.then(() => (mine === latest ? post(action, ids, mine) : undefined));
  waiting += 1;
  queue = sent.catch(() => {}).then(() => { waiting -= 1; });
  return sent;
}

// Send the draft as a button would; what comes is the page, of which `ids` are taken.
async function post(action, ids, mine) {
  const answer = await fetch(action, {
    method: "POST",
    body: new FormData(draft),
    headers: { "X-CSRF-Token": draft.elements.csrf.value },
  }).catch(() => { throw new Error(draft.dataset.lost); });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!page.getElementById("draft")) throw new Error(page.querySelector("main p")?.textContent);
  if (mine !== latest) return;
  localizeTimes(page);
  for (const id of ids) {
    morph(document.getElementById(id), document.adoptNode(page.getElementById(id)));
  }
  draft.querySelector(".without-script").hidden = true;
  drawGutter();
}

function tell(words) {
  const line = document.createElement("p");
  line.className = "advice";
  line.textContent = words;
  document.getElementById("notices").replaceChildren(line);
}

function check() {
  send(draft.action, ["notices", "checked", "changes"]).catch((error) => tell(error.message || draft.dataset.lost));
}

text.addEventListener("input", () => {
  drawGutter();
  clearTimeout(typing);
  typing = setTimeout(check, TYPING_PAUSE_MS);
});
text.addEventListener("scroll", follow);

draft.addEventListener("submit", async (event) => {
  clearTimeout(typing);
  latest += 1; // what is on its way is out of date
  const button = event.submitter;
  if (!button?.dataset.wait) {
    if (waiting) {
      event.preventDefault();
      queue.then(() => draft.requestSubmit(button));
    }
    return;
  }
  event.preventDefault();
  const words = button.textContent;
  button.textContent = button.dataset.wait;
  button.setAttribute("aria-disabled", "true");
  try {
    await send(button.formAction, ["notices", "checked", "changes", "found"]);
    document.getElementById("found").scrollIntoView({ block: "nearest" });
  } catch (error) {
    tell(error.message || draft.dataset.lost);
  } finally {
    button.textContent = words;
    button.removeAttribute("aria-disabled");
  }
});

// Enter tries the draft on the series whose number was typed.
document.getElementById("series").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  draft.requestSubmit(draft.querySelector('[formaction="/rules/draft/try"]'));
});

drawGutter();
if (text.value !== text.defaultValue) check(); // typed before this ran

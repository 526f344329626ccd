// Looks through a volume: the server draws slices, this asks for them ahead and shows the newest.
"use strict";

const viewer = document.getElementById("viewer");
const volume = JSON.parse(viewer.dataset.volume);
const words = JSON.parse(viewer.dataset.words);
const part = (name) => viewer.querySelector(name);
const canvas = part("canvas");
const stage = part(".stage");
const slider = part(".slice");
const phaseSlider = part(".phase");
const presets = part(".presets");
const AHEAD = 6;
const KEPT = 160;
const AT_ONCE = 4; // a browser has six connections to a host, and other pages need some

const view = { plane: 0, index: 0, phase: 0, window: null, isFinal: false, invert: false };
const pictures = new Map(); // address to a promise of what it shows, the latest used last
const waiting = [];
let running = 0;
let direction = 1;
let wanted = "";

const plane = () => volume.planes[view.plane];

function address(index) {
  const query = new URLSearchParams({ phase: view.phase });
  if (view.window) {
    query.set("centre", view.window[0]);
    query.set("width", view.window[1]);
  }
  if (view.invert) query.set("invert", "1");
  return `${volume.slices}/${plane().name}/${index}?${query}`;
}

function picture(url, isUrgent) {
  let known = pictures.get(url);
  if (known) {
    pictures.delete(url);
  } else {
    known = queued(url, isUrgent);
    known.catch(() => pictures.delete(url));
  }
  pictures.set(url, known);
  for (const old of pictures.keys()) {
    if (pictures.size <= KEPT) break;
    pictures.delete(old);
  }
  return known;
}

// What is wanted now goes first; of what was to be fetched ahead, only the latest is.
function queued(url, isUrgent) {
  return new Promise((done, fail) => {
    const task = { url, done, fail };
    if (isUrgent) waiting.unshift(task);
    else waiting.push(task);
    while (waiting.length > AHEAD + 2) {
      const dropped = waiting.pop();
      dropped.fail(new Error("no longer wanted"));
    }
    next();
  });
}

function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  const { url, done, fail } = waiting.shift();
  running += 1;
  fetched(url).then(done, fail).finally(() => {
    running -= 1;
    next();
  });
}

async function fetched(url) {
  const answer = await fetch(url).catch(() => { throw new Error(words.broken); });
  if (!answer.ok) throw new Error(answer.status === 401 ? words.login : await reason(answer));
  const [centre, width, isFinal] = answer.headers.get("X-Window").split(" ").map(Number);
  return { bitmap: await createImageBitmap(await answer.blob()), window: [centre, width], isFinal };
}

async function reason(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector("main p")?.textContent ?? words.unread.replace("{status}", answer.status);
}

async function show() {
  const url = wanted = address(view.index);
  tell();
  try {
    const { bitmap, window, isFinal } = await picture(url, true);
    if (url !== wanted) return;
    draw(bitmap);
    part(".problem").hidden = true;
    if (!view.window) settle(url, window, isFinal);
    ahead();
  } catch (error) {
    if (url !== wanted || error.message === "no longer wanted") return;
    part(".problem").textContent = error.message;
    part(".problem").hidden = false;
  }
}

// An automatic window is kept for the whole volume once it is chosen by all of it.
function settle(url, window, isFinal) {
  if (volume.colour) return;
  shownWindow = window;
  if (isFinal) view.window = window;
  else pictures.delete(url);
  tell();
}
let shownWindow = null;

function ahead() {
  for (let n = 1; n <= AHEAD; n += 1) {
    const index = view.index + n * direction;
    if (index >= 0 && index < plane().slices && view.window) picture(address(index), false).catch(() => {});
  }
}

function draw(bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    fit();
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.dataset.shown = `${plane().name} ${view.index} ${view.phase}`;
}

// As large as the stage allows, with pixels as tall as they are in the patient.
function fit() {
  const wide = canvas.width;
  const tall = canvas.height * plane().aspect;
  const scale = Math.min(stage.clientWidth / wide, stage.clientHeight / tall);
  canvas.style.width = `${wide * scale}px`;
  canvas.style.height = `${tall * scale}px`;
}

function tell() {
  const window = view.window ?? shownWindow;
  slider.max = plane().slices;
  slider.value = view.index + 1;
  phaseSlider.value = view.phase + 1;
  part(".where").textContent = put(volume.phases > 1 ? words.placePhase : words.place, {
    n: view.index + 1, all: plane().slices, phase: view.phase + 1, phases: volume.phases,
  });
  part(".window").textContent = window && !volume.colour
    ? put(words.window, { centre: rounded(window[0]), width: rounded(window[1]) }) : "";
  for (const side of ["left", "right", "top", "bottom"]) {
    part(`.letter.${side}`).textContent = plane().letters[side] ?? "";
  }
  for (const button of viewer.querySelectorAll("[data-plane]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.plane) === view.plane));
  }
}

// A sentence with values in its places.
const put = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

const rounded = (value) => (Math.abs(value) >= 10 ? Math.round(value) : Number(value.toPrecision(3)));

function go(index) {
  const to = Math.max(0, Math.min(plane().slices - 1, index));
  if (to === view.index) return;
  direction = to > view.index ? 1 : -1;
  view.index = to;
  show();
}

function choosePreset() {
  const [centre, width] = presets.value.split(" ").map(Number);
  view.window = presets.value ? [centre, width] : null;
  show();
}

for (const button of viewer.querySelectorAll("[data-plane]")) {
  button.addEventListener("click", () => {
    view.plane = Number(button.dataset.plane);
    view.index = Math.floor(plane().slices / 2);
    show();
  });
}
slider.addEventListener("input", () => go(Number(slider.value) - 1));
phaseSlider.addEventListener("input", () => {
  view.phase = Number(phaseSlider.value) - 1;
  show();
});
presets.addEventListener("change", choosePreset);
part(".invert").addEventListener("change", (event) => {
  view.invert = event.target.checked;
  show();
});
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  go(view.index + Math.sign(event.deltaY));
}, { passive: false });
const KEYS = {
  ArrowDown: () => view.index + 1, ArrowRight: () => view.index + 1,
  ArrowUp: () => view.index - 1, ArrowLeft: () => view.index - 1,
  PageDown: () => view.index + 10, PageUp: () => view.index - 10,
  Home: () => 0, End: () => plane().slices - 1,
};
stage.addEventListener("keydown", (event) => {
  const to = KEYS[event.key];
  if (!to || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  go(to());
});

let drag = null;
stage.addEventListener("pointerdown", (event) => {
  const window = view.window ?? shownWindow;
  if (event.button || !window || volume.colour) return;
  drag = { x: event.clientX, y: event.clientY, window };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const [centre, width] = drag.window;
  const step = width / 250;
  const wide = Math.max(width / 100, width + (event.clientX - drag.x) * step);
  view.window = [centre + (event.clientY - drag.y) * step, wide].map((one) => Number(one.toPrecision(5)));
  presets.value = "own";
  show();
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { drag = null; });
addEventListener("resize", fit);

if (presets.value) choosePreset();
else show();

// Uploads with a bar, by dropping and of folders. Without it the form sends the chosen files.
"use strict";

const form = document.getElementById("upload");
const [filesInput, folderInput] = form.querySelectorAll("input[type=file]");
const sending = form.querySelector(".sending");
const bar = sending.querySelector("progress");
const shown = sending.querySelector("span");
const words = JSON.parse(form.dataset.words);
folderInput.closest("p").hidden = false;

// All files below what was dropped; a folder gives its entries in several portions.
async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const portion = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!portion.length) return found;
    for (const one of portion) found.push(...await filesBelow(one));
  }
}

function send(files) {
  if (!files.length) return tell(words.none);
  const body = new FormData();
  for (const file of files) body.append("files", file, file.webkitRelativePath || file.name);
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
  request.upload.onprogress = ({ loaded, total }) => {
    bar.value = total ? loaded / total : 0;
    const sent = files.length === 1 ? words.one : words.many;
    tell(sent.replace("{percent}", Math.floor(100 * bar.value)).replace("{files}", files.length));
  };
  request.onload = () => {
    busy(false);
    if (request.status < 400) {
      form.reset();
      tell(words.all);
    } else {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      tell(page.querySelector("main p")?.textContent ?? words.refused.replace("{status}", request.status));
    }
  };
  request.onerror = () => {
    busy(false);
    tell(words.broken);
  };
  busy(true);
  request.send(body);
}

function tell(text) {
  sending.hidden = false;
  shown.textContent = text;
}

function busy(is) {
  form.querySelector("button").disabled = is;
  bar.hidden = !is;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send([...filesInput.files, ...folderInput.files]);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.add("over");
});
addEventListener("dragleave", () => form.classList.remove("over"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  form.classList.remove("over");
  const { items, files } = event.dataTransfer;  // both are empty once this handler waits
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return send([...files]);
  tell(words.reading);
  send((await Promise.all(entries.map(filesBelow))).flat());
});

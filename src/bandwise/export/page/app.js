// Loads the model, then classifies each picture that is dropped or chosen, and again when a branch is switched.

import * as ort from "./ort/ort.wasm.min.mjs";
import { decode, toCanvas } from "./picture.js";

const SHOWN = 5;
const find = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

let session, facts, planes, prepared;
let turn = 0;

function element(name, text = "", parent = null, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

function say(text, wrong = false) {
  find("status").textContent = text;
  find("status").classList.toggle("wrong", wrong);
}

function ranked(probabilities, count) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  return order.slice(0, count).map((place) => ({ label: facts.labels[place], value: probabilities[place] }));
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - most));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

function bars(list, entries) {
  list.replaceChildren();
  for (const { label, value } of entries) {
    const row = element("li", "", list);
    element("span", label, row, "label");
    const meter = element("span", "", row, "meter");
    element("span", "", meter).style.width = `${100 * value}%`;
    element("span", percent(value), row, "value");
  }
}

/** Draw planes (channels, side, side), from `offset` in `values`, each value by `grade`. */
function draw(canvas, values, offset, side, channels, grade) {
  canvas.width = canvas.height = side;
  const image = new ImageData(side, side);
  for (let pixel = 0; pixel < side * side; pixel++) {
    for (let colour = 0; colour < 3; colour++) {
      const plane = channels === 1 ? 0 : colour;
      image.data[4 * pixel + colour] = grade(values[offset + plane * side * side + pixel]);
    }
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function makeBranches() {
  facts.branches.forEach(({ branch, bands, weight }, place) => {
    const item = element("li", "", find("branches"));
    const pictures = element("div", "", item, "bands");
    for (const band of bands) {
      const canvas = element("canvas", "", pictures);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Band ${band}`);
      canvas.dataset.place = facts.shown.findIndex((shown) => shown.band === band);
    }
    const label = element("label", "", item, "switch");
    const box = element("input", "", label);
    box.type = "checkbox";
    box.checked = true;
    box.dataset.branch = place;
    box.addEventListener("change", () => switched(box));
    element("span", `Branch ${branch}`, label);
    const share = weight === null ? "" : `, weight ${percent(weight)}`;
    element("p", `band${bands.length > 1 ? "s" : ""} ${bands.join(", ")}${share}`, item, "quiet");
    element("ol", "", item, "bars");
  });
}

function switches() {
  return [...find("branches").querySelectorAll("input")];
}

async function switched(box) {
  if (!switches().some((each) => each.checked)) {
    box.checked = true;
    say("One branch at least stays on.");
    return;
  }
  await classify();
}

async function classify() {
  const own = ++turn;
  const { canvas: side, channels } = facts.preprocessing;
  const started = performance.now();
  const present = Float32Array.from(switches(), (box) => (box.checked ? 1 : 0));
  const found = await session.run({
    images: new ort.Tensor("uint8", planes, [1, channels, side, side]),
    present: new ort.Tensor("float32", present, [present.length]),
  });
  if (own !== turn) return;
  const time = performance.now() - started;
  const entries = ranked(found.probabilities.data, SHOWN);
  find("top").textContent = `${entries[0].label}, ${percent(entries[0].value)}`;
  bars(find("fused"), entries);
  const on = present.reduce((sum, value) => sum + value, 0);
  find("time").textContent =
    `${Math.round(time)} ms for all branches, ${Math.round(prepared)} ms to decode and resize; ` +
    `${on} of ${present.length} branches fused.`;
  const [, , , height] = found.bands.dims;
  const classes = facts.labels.length;
  [...find("branches").children].forEach((item, place) => {
    item.classList.toggle("off", !present[place]);
    bars(item.querySelector("ol"), ranked(softmax(found.branch_logits.data.slice(place * classes, (place + 1) * classes)), 3));
    for (const canvas of item.querySelectorAll("canvas")) {
      const { zero, gain } = facts.shown[canvas.dataset.place];
      const offset = canvas.dataset.place * channels * height * height;
      const grade = gain === 1 ? (value) => value : (value) => 128 + gain * (value - zero);
      draw(canvas, found.bands.data, offset, height, channels, grade);
    }
  });
  find("result").hidden = false;
  say(`Answer: ${find("top").textContent}`);
}

async function take(file) {
  if (!file || !session) return;
  say("Reading the picture.");
  try {
    const started = performance.now();
    const { canvas: side, channels } = facts.preprocessing;
    planes = toCanvas(await decode(file, facts.preprocessing), side, channels);
    prepared = performance.now() - started;
    draw(find("seen"), planes, 0, side, channels, (value) => value);
  } catch (error) {
    say(error.message, true);
    return;
  }
  await classify();
}

function listen() {
  const drop = find("drop");
  find("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    // So that the same file may be chosen again.
    event.target.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
}

try {
  facts = await (await fetch("model.json")).json();
  document.title = `${facts.name} – Bandwise`;
  find("name").textContent = facts.name;
  find("about").textContent =
    `${facts.branches.length} branches, ${facts.labels.length} classes. Each branch sees one part of the picture and votes; ` +
    "the votes are fused.";
  makeBranches();
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  find("file").disabled = false;
  listen();
  say("Ready.");
} catch (error) {
  say(`The model could not be loaded: ${error.message}`, true);
}

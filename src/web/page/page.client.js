// The controls of the page. What they ask for is done by in-page/, out of the sources of the command line.
import "../in-page/globals.ts";
import pkg from "../../../package.json";
import { UserError } from "../../errors.ts";
import { humanBytes } from "../../text/format.ts";
import { commandOf, controlsOf, givenValues } from "../in-page/asked.ts";
import { inspectFile } from "../in-page/inspect.ts";
import { mergeFiles } from "../in-page/merge.ts";
import { METHODS, methodNamed } from "../in-page/methods.ts";
import { toDownload, toFile } from "../in-page/output.ts";
import { placeFiles } from "../in-page/slots.ts";

const element = (id) => document.getElementById(id);
const DTYPES = ["float32", "bfloat16", "float16"];

/** Makes an element; properties of its own, then what it holds. */
const made = (tag, properties = {}, ...held) => {
  const one = Object.assign(document.createElement(tag), properties);
  one.append(...held);
  return one;
};

const option = (value, text = value) => made("option", { value, textContent: text });

/** Roles of files: two models, and the base where a method has one beside them. */
const SLOTS = [
  { id: "a", folder: "a", label: "Model A" },
  { id: "b", folder: "b", label: "Model B" },
  { id: "base", folder: "base", label: "Base" },
];
/** Methods whose base is one of the two models: they go along the path between them. */
const between = (method) => method.models[1] === 1;
const slotsOf = (method) => (method.base === "required" && !between(method) ? SLOTS : SLOTS.slice(0, 2));

const words = (error) =>
  error instanceof UserError
    ? `${error.message}${error.hint ? `\n${error.hint}` : ""}`
    : `This is a fault of the page: ${error?.message ?? error}`;

for (const method of METHODS) element("method").append(option(method.name, `${method.title} (${method.name})`));
for (const [id, first] of [
  ["dtype", "no other type first"],
  ["out-dtype", "as the models have it"],
])
  element(id).append(option("", first), ...DTYPES.map((name) => option(name)));

/** What was chosen for a role stays when the method changes. */
const pickers = new Map(
  SLOTS.map(({ id, label }) => [
    id,
    made(
      "label",
      {},
      label,
      made("input", { id: `file-${id}`, type: "file", multiple: true }),
      made("small", { id: `role-${id}` }),
    ),
  ]),
);
const picked = (id) => [...pickers.get(id).querySelector("input").files];

function fieldOf(control) {
  const { name, kind, perModel, help, fallback, choices, required } = control;
  const title = name.replaceAll("_", " ");
  const note = made("small", { textContent: help });
  if (kind === "switch") {
    const box = made("input", { type: "checkbox", checked: fallback === "true" });
    box.dataset.option = name;
    return made("label", {}, made("span", { className: "switch" }, box, ` ${title}`), note);
  }
  if (kind === "choice") {
    const select = made("select", {}, ...choices.map((word) => option(word)));
    select.value = fallback;
    select.dataset.option = name;
    return made("label", {}, title, select, note);
  }
  const input = (label) => {
    const own = made("input", { placeholder: fallback, required, inputMode: "decimal", autocomplete: "off" });
    own.dataset.option = name;
    if (label) own.setAttribute("aria-label", `${title} of ${label}`);
    return own;
  };
  if (!perModel) return made("label", {}, title, input(), note);
  return made(
    "fieldset",
    {},
    made("legend", { textContent: `${title} of A and B` }),
    made("div", { className: "pair" }, input("model A"), input("model B")),
    note,
  );
}

/** Shows the fields of the chosen method. */
function showMethod() {
  const method = methodNamed(element("method").value);
  element("about").textContent = `${method.about}; ${method.cite}`;
  element("files").replaceChildren(...slotsOf(method).map(({ id }) => pickers.get(id)));
  for (const { id } of SLOTS) {
    const role = pickers.get(id).querySelector("small");
    if (id === "base") role.textContent = "the model that both were tuned from";
    else if (!between(method)) role.textContent = "a .safetensors file, if wanted with its config.json";
    else role.textContent = id === "a" ? "where the path begins (the base)" : "where the path ends";
  }
  element("options").replaceChildren(...controlsOf(method).map(fieldOf));
}

/** What stands in the fields of the method's options. */
function typed() {
  const fields = new Map();
  for (const field of element("options").querySelectorAll("[data-option]")) {
    const name = field.dataset.option;
    const text = field.type === "checkbox" ? String(field.checked) : field.value;
    fields.set(name, [...(fields.get(name) ?? []), text]);
  }
  return fields;
}

/** What is asked for. Throws UserError where a file is missing. */
function asked() {
  const method = methodNamed(element("method").value);
  const { files, paths } = placeFiles(slotsOf(method).map((slot) => ({ ...slot, files: picked(slot.id) })));
  const [a, b, base = between(method) ? a : undefined] = paths;
  const values = givenValues(controlsOf(method), typed());
  const types = { dtype: element("dtype").value, outDtype: element("out-dtype").value };
  return { files, models: [a, b], base, method: method.name, values, ...types };
}

/** A link that the browser follows to what it then saves. */
function save(name, whole) {
  const href = URL.createObjectURL(whole);
  made("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** Asks for a place, where the browser can write to one; undefined where the user changed their mind. */
async function outputNamed(name) {
  if (!("showSaveFilePicker" in window)) return toDownload(name, save);
  try {
    return await toFile(await window.showSaveFilePicker({ suggestedName: name }));
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (error.name === "SecurityError" || error.name === "NotAllowedError") return toDownload(name, save);
    throw error;
  }
}

const remark = (list, text) => list.append(made("li", { textContent: text }));

let stopped;
const isBusy = (busy) => {
  element("go").disabled = busy;
  for (const id of ["stop", "bar"]) element(id).hidden = !busy;
};

async function merge() {
  stopped = new AbortController();
  for (const id of ["state", "problem"]) element(id).textContent = "";
  element("remarks").replaceChildren();
  element("same").hidden = true;
  element("bar").value = 0;
  const request = asked();
  isBusy(true);
  element("state").textContent = "reading headers";
  const began = performance.now();
  const listener = {
    warn: (text) => remark(element("remarks"), text),
    progress: (done, total, tensor) => {
      element("bar").value = done / total;
      element("state").textContent = `${humanBytes(done)} of ${humanBytes(total)}: ${tensor}`;
    },
  };
  const place = () => outputNamed(element("name").value.trim() || element("name").defaultValue);
  const merged = await mergeFiles(request, place, listener, stopped.signal);
  element("state").textContent = "";
  if (!merged) return;
  const { name, bytes, tensors, adapter, memory } = merged;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  element("state").textContent =
    `${name}: ${tensors} tensors, ${humanBytes(bytes)}, in ${seconds} s on ${adapter}, at most ${humanBytes(memory)} of its memory at a time`;
  // Lines break between words, not behind a dash.
  const parts = commandOf(request, name).split(" ");
  const spans = parts.flatMap((text, i) => [...(i > 0 ? [" "] : []), made("span", { textContent: text })]);
  element("command").replaceChildren(...spans);
  element("same").hidden = false;
}

element("merge").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await merge();
  } catch (error) {
    const isStopped = stopped.signal.aborted;
    element("state").textContent = isStopped ? "stopped; nothing was written" : "";
    if (!isStopped) element("problem").textContent = words(error);
  }
  isBusy(false);
});
element("stop").addEventListener("click", () => stopped?.abort());
element("method").addEventListener("change", showMethod);

async function inspect() {
  element("shown").hidden = true;
  element("inspect-problem").textContent = "";
  element("inspect-remarks").replaceChildren();
  const chosen = [...element("looked-at").files];
  if (chosen.length === 0) return;
  try {
    const { files, paths } = placeFiles([{ label: "File", folder: "model", files: chosen }]);
    const tell = (text) => remark(element("inspect-remarks"), text);
    element("report").textContent = await inspectFile(files, paths[0], element("all").checked, tell);
    element("shown").hidden = false;
  } catch (error) {
    element("inspect-problem").textContent = words(error);
  }
}
for (const id of ["looked-at", "all"]) element(id).addEventListener("change", inspect);
element("inspect").addEventListener("submit", (event) => event.preventDefault());

showMethod();
element("foot").textContent = `ingot ${pkg.version}`;

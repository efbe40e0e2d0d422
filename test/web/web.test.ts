/**
 * The page of `web` in a real browser: it writes the bytes that the command line writes, says what that says, and asks
 * nobody for anything. Needs Chromium, whose own driver computes; CHROMIUM names another than the system's.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import { runAlone, runScript } from "../support/command.ts";
import {
  CHROMIUM,
  choose,
  downloaded,
  ended,
  fillIn,
  mergeIn,
  type Opened,
  openPage,
  SAME_ADAPTER,
  SHAPES,
  scratch,
  startBrowser,
  type Wanted,
  writeModel,
} from "./lab.ts";

setDefaultTimeout(120_000);
const { folder, remove } = scratch();
const downloads = join(folder, "downloads");
const address = `file://${join(folder, "site", "index.html")}`;
const at = (...names: string[]) => names.map((name) => join(folder, name));

const inBrowser = test.skipIf(!existsSync(CHROMIUM));
let browser: Browser;
let opened: Opened;

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) return;
  mkdirSync(downloads);
  const built = await runAlone("web", ["-o", join(folder, "site")], folder);
  expect([built.code, built.err]).toEqual([0, ""]);
  for (const [dtype, ending] of [
    ["F32", "f32"],
    ["BF16", "bf16"],
  ] as const)
    for (const [i, name] of ["a", "b", "base"].entries())
      await writeModel(join(folder, `${name}-${ending}.safetensors`), i + 1, { dtype });
  browser = await startBrowser(downloads);
  opened = await openPage(browser, address);
});
afterAll(async () => {
  await browser?.close();
  remove();
});

/** What the command that the page shows writes, run in the folder of the files. */
async function byCommandLine(command: string, name: string): Promise<Uint8Array> {
  const words = command.split(" ");
  expect(words.slice(0, 2)).toEqual(["ingot", "merge"]);
  expect(words.at(-1)).toBe(name);
  const out = join(folder, `cli-${name}`);
  const ran = await runAlone("merge", [...words.slice(2, -1), out, "-q"], folder, SAME_ADAPTER);
  expect([ran.code, ran.err]).toEqual([0, ""]);
  return Bun.file(out).bytes();
}

/** Merges in the page and by the command that it shows: both give the same file. */
async function expectSame(wanted: Wanted): Promise<string> {
  const { state, problem, remarks, command } = await mergeIn(opened.page, wanted);
  expect([problem, remarks]).toEqual(["", []]);
  expect(state).toStartWith(`${wanted.name}: `);
  const [page, cli] = [await downloaded(downloads, wanted.name), await byCommandLine(command, wanted.name)];
  expect(page.length).toBeGreaterThan(1000);
  expect(Buffer.compare(page, cli)).toBe(0);
  return command;
}

const METHODS: readonly (Pick<Wanted, "method" | "options"> & { readonly flags: string })[] = [
  { method: "linear", options: { weight: ["0.7", "0.3"] }, flags: "--weight 0.7,0.3" },
  { method: "slerp", options: { t: ["0.3"] }, flags: "--t 0.3" },
  {
    method: "task_arithmetic",
    options: { weight: ["0.5", "-0.25"], lambda: ["0.8"] },
    flags: "--weight 0.5,-0.25 --lambda 0.8",
  },
  {
    method: "ties",
    options: { density: ["0.4", "0.2"], rescale: ["true"], normalize: ["false"] },
    flags: "--density 0.4,0.2 --no-normalize --rescale",
  },
];

for (const { method, options, flags } of METHODS)
  for (const type of ["f32", "bf16"])
    inBrowser(
      `${method} of ${type} gives the bytes of the command line (skipped where there is no Chromium)`,
      async () => {
        const roles = method === "linear" || method === "slerp" ? ["a", "b"] : ["a", "b", "base"];
        const files = Object.fromEntries(roles.map((role) => [role, at(`${role}-${type}.safetensors`)]));
        const name = `${method}-${type}.safetensors`;
        const command = await expectSame({ method, files, options: options ?? {}, name });
        expect(command).toContain(` --method ${method} ${flags} -o `);
        expect(opened.complaints).toEqual([]);
      },
    );

inBrowser("files of one name, with what lies beside them, and other types", async () => {
  for (const [i, model] of ["a", "b"].entries()) {
    mkdirSync(join(folder, model));
    await writeModel(join(folder, model, "model.safetensors"), i + 7);
  }
  writeFileSync(join(folder, "a", "config.json"), JSON.stringify({ model_type: "llama", torch_dtype: "float32" }));
  const command = await expectSame({
    method: "linear",
    files: { a: at("a/model.safetensors", "a/config.json"), b: at("b/model.safetensors") },
    types: ["bfloat16", "float16"],
    name: "folders.safetensors",
  });
  expect(command).toBe(
    "ingot merge a/model.safetensors b/model.safetensors --method linear --dtype bfloat16 --out-dtype float16 -o folders.safetensors",
  );
});

inBrowser("a tokenizer that is packed in the file goes through as it is", async () => {
  const words = Array.from({ length: 60_000 }, (_, i) => `word${(i * 7919) % 60_013}`)
    .join(" ")
    .repeat(3);
  const files = new Map([["tokenizer.json", new TextEncoder().encode(JSON.stringify({ words }))]]);
  for (const name of ["pa", "pb"]) await writeModel(join(folder, `${name}.safetensors`), 3, { files });
  const header = new TextDecoder().decode(await Bun.file(join(folder, "pa.safetensors")).slice(0, 100).bytes());
  expect(header).toContain("tokenizer.json+gzip");
  const files2 = { a: at("pa.safetensors"), b: at("pb.safetensors") };
  await expectSame({ method: "slerp", files: files2, options: { t: ["0.5"] }, name: "packed.safetensors" });
});

inBrowser("what is no checkpoint or does not fit is refused in the words of the command line", async () => {
  const whole = await Bun.file(join(folder, "a-f32.safetensors")).bytes();
  const huge = new Uint8Array(64);
  huge.fill(255, 0, 8);
  const hostile: Readonly<Record<string, string | Uint8Array>> = {
    "text.safetensors": "these are words and no weights",
    "zip.safetensors": "PK\x03\x04 and so on, not an archive",
    "cut.safetensors": whole.subarray(0, whole.length - 7),
    "huge.safetensors": huge,
    "empty.safetensors": "",
    "script.safetensors": '\x30\0\0\0\0\0\0\0{"<img src=x onerror=alert(1)>":{"dtype":"F99"}}  ',
  };
  for (const [name, bytes] of Object.entries(hostile)) writeFileSync(join(folder, name), bytes);
  await writeModel(join(folder, "other.safetensors"), 5, { shapes: { ...SHAPES, long: [513, 299] } });
  await writeModel(join(folder, "fewer.safetensors"), 5, { shapes: { long: SHAPES.long! } });
  for (const name of [...Object.keys(hostile), "other.safetensors", "fewer.safetensors"]) {
    const files = { a: at("a-f32.safetensors"), b: at(name) };
    const { problem, state } = await mergeIn(opened.page, { method: "linear", files, name: "none.safetensors" });
    const args = ["a-f32.safetensors", name, "--method", "linear", "-o", "none/", "-q"];
    const { err, code } = await runScript("merge", args, folder);
    expect(code).toBe(2);
    expect([name, problem, state]).toEqual([
      name,
      err
        .trim()
        .replace(/^merge: /, "")
        .replace("\n  hint: ", "\n"),
      "",
    ]);
  }
  expect(await opened.page.evaluate("document.querySelectorAll('img').length")).toBe(0);
  expect(opened.complaints).toEqual([]);
});

inBrowser("values that the method does not take, and files that are missing, are told", async () => {
  const two = { a: at("a-f32.safetensors"), b: at("b-f32.safetensors") };
  const problemOf = async (wanted: Omit<Wanted, "name">) =>
    (await mergeIn(opened.page, { ...wanted, name: "none.safetensors" })).problem;
  expect(await problemOf({ method: "linear", files: two, options: { weight: ["1", "much"] } })).toContain("weight");
  expect(await problemOf({ method: "linear", files: two, options: { weight: ["1", "-1"] } })).toContain("sum to 0");
  expect(await problemOf({ method: "ties", files: { ...two, base: [] } })).toStartWith("Base: no file is chosen");
  expect(await problemOf({ method: "linear", files: { ...two, b: [...two.a, ...two.b] } })).toContain(
    "two files of weights",
  );
  await writeModel(join(folder, "lora.safetensors"), 5, {
    shapes: { "x.lora_A.weight": [2, 4], "x.lora_B.weight": [4, 2] },
  });
  expect(await problemOf({ method: "linear", files: { ...two, b: at("lora.safetensors") } })).toContain(
    "is an adapter",
  );
  // After a failure in the middle of the work the next merge is right.
  await expectSame({ method: "linear", files: two, name: "again.safetensors" });
});

inBrowser("inspect shows what the command line prints", async () => {
  const shown = async (files: readonly string[], all: boolean) => {
    await opened.page.evaluate(`document.getElementById("all").checked = ${all}`);
    await opened.page.evaluate(`document.getElementById("report").textContent = ""`);
    await choose(opened.page, "#looked-at", files);
    await opened.page.waitForFunction(
      `document.getElementById("report").textContent + document.getElementById("inspect-problem").textContent`,
    );
    return opened.page.evaluate(
      `document.getElementById("shown").hidden ? "" : document.getElementById("report").textContent`,
    );
  };
  await writeModel(join(folder, "seen.safetensors"), 3);
  expect(await shown(at("seen.safetensors"), false)).toBe(
    (await runScript("inspect", ["seen.safetensors"], folder)).text.trimEnd(),
  );
  const made = join(downloads, "ties-f32.safetensors");
  expect(await shown([made], true)).toBe(
    (await runScript("inspect", ["ties-f32.safetensors", "-v"], downloads)).text.trimEnd(),
  );
  writeFileSync(join(folder, "page.html"), "<!doctype html>\n<title>no weights</title>");
  expect(await shown(at("page.html"), false)).toBe("");
  expect(await opened.page.evaluate(`document.getElementById("inspect-problem").textContent`)).toBe(
    "page.html is a web page; expected safetensors\nfetch the file itself, not the page that shows it",
  );
});

inBrowser("the page reaches nobody, and says so where there is no adapter", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("reached") });
  try {
    const url = `http://127.0.0.1:${server.port}/`;
    const tried = `Promise.allSettled([
      fetch("${url}"),
      new Promise((yes, no) => Object.assign(new Image(), { onload: yes, onerror: no, src: "${url}" })),
      new Promise((yes, no) => Object.assign(new WebSocket("${url.replace("http", "ws")}"), { onopen: yes, onerror: no })),
      import("${url}"),
    ]).then((all) => all.map(({ status }) => status))`;
    const { page } = await openPage(browser, address);
    expect(await page.evaluate(tried)).toEqual(["rejected", "rejected", "rejected", "rejected"]);
    await page.close();
  } finally {
    await server.stop(true);
  }
  const none = await openPage(
    browser,
    address,
    "delete window.showSaveFilePicker; navigator.gpu.requestAdapter = async () => null",
  );
  const files = { a: at("a-f32.safetensors"), b: at("b-f32.safetensors") };
  const told = await mergeIn(none.page, { method: "linear", files, name: "none.safetensors" });
  expect(told.problem).toStartWith("No WebGPU adapter answered\nthe browser has no driver");
  await none.page.close();
});

/** A place of the page's own, of the interface of a file that the user chose. */
const PICKER = `window.showSaveFilePicker = async ({ suggestedName }) =>
  (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true })`;
const KEPT = `navigator.storage.getDirectory().then(async (folder) => {
  const kept = [];
  for await (const [name, handle] of folder) kept.push([name, (await handle.getFile()).size]);
  return kept;
})`;

inBrowser("writes to a chosen file as the bytes come, and leaves none when it fails or is stopped", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(Bun.file(at("site/index.html")[0]!)),
  });
  try {
    const url = `http://127.0.0.1:${server.port}/`;
    const { page, complaints } = await openPage(browser, url, PICKER);
    const files = { a: at("a-f32.safetensors"), b: at("b-f32.safetensors") };
    const { problem } = await mergeIn(page, { method: "linear", files, options: { weight: ["1", "-1"] }, name: "x" });
    expect(problem).toContain("sum to 0");
    expect(await page.evaluate(KEPT)).toEqual([]);

    // Files are read slowly: there is time to stop.
    await page.evaluate(`{
      const read = Blob.prototype.arrayBuffer;
      window.slowly = (ms) => {
        Blob.prototype.arrayBuffer = async function () {
          await new Promise((resolve) => setTimeout(resolve, ms));
          return read.call(this);
        };
      };
      slowly(150);
    }`);
    await fillIn(page, { method: "linear", files, options: { weight: ["1", "1"] }, name: "x" });
    await page.waitForFunction(`!document.getElementById("stop").hidden`);
    await page.click("#stop");
    expect((await ended(page)).state).toBe("stopped; nothing was written");
    expect(await page.evaluate(KEPT)).toEqual([]);

    await page.evaluate("slowly(0)");
    const { state, command } = await mergeIn(page, { method: "linear", files, name: "whole.safetensors" });
    expect(state).toStartWith("whole.safetensors: 5 tensors");
    const text = await page.evaluate(`navigator.storage.getDirectory()
      .then((folder) => folder.getFileHandle("whole.safetensors"))
      .then(async (handle) => new Uint8Array(await (await handle.getFile()).arrayBuffer()).toBase64())`);
    const cli = await byCommandLine(command, "whole.safetensors");
    expect(Buffer.compare(Buffer.from(text as string, "base64"), cli)).toBe(0);
    expect(complaints).toEqual([]);
    await page.close();
  } finally {
    await server.stop(true);
  }
});

inBrowser("fits phones, and every control has a name", async () => {
  const { page } = opened;
  for (const width of [320, 390, 1280])
    for (const method of METHODS.map((one) => one.method)) {
      await page.setViewport({ width, height: 800 });
      await page.select("#method", method);
      expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
      const nameless = `[...document.querySelectorAll("input, select, button")].filter((field) =>
        !(field.getAttribute("aria-label") || field.labels?.length || field.textContent.trim())).map((field) => field.outerHTML)`;
      expect(await page.evaluate(nameless)).toEqual([]);
    }
});

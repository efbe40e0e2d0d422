/** The page of `web` as it is built, and the parts of it that need no browser. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync as packByBun } from "node:zlib";
import { linkKernel } from "../../src/gpu/kernel.ts";
import { page, writePage } from "../../src/web/build.ts";
import { commandOf, controlsOf, givenValues } from "../../src/web/in-page/asked.ts";
import * as files from "../../src/web/in-page/files.ts";
import { gunzipSync, gzipSync } from "../../src/web/in-page/gzip.ts";
import { createHash as hashInPage } from "../../src/web/in-page/hashes.ts";
import { METHODS, methodNamed } from "../../src/web/in-page/methods.ts";
import { toDownload, toFile } from "../../src/web/in-page/output.ts";
import { placeFiles } from "../../src/web/in-page/slots.ts";
import { runScript } from "../support/command.ts";
import { scratch } from "./lab.ts";

const { folder, remove } = scratch();
afterAll(remove);

test("the page is one file that may load nothing else, and is the same when built again", async () => {
  const { file, bytes } = await writePage(join(folder, "site"));
  expect(readdirSync(join(folder, "site"))).toEqual(["index.html"]);
  const text = readFileSync(file, "utf8");
  expect(Buffer.byteLength(text)).toBe(bytes);
  expect(await page()).toBe(text);

  const policy = /<meta http-equiv="content-security-policy" content="([^"]*)">/.exec(text)![1]!;
  const digestOf = (own: string) => `'sha256-${createHash("sha256").update(own).digest("base64")}'`;
  const [, style] = /<style>([\s\S]*?)<\/style>/.exec(text)!;
  const [, script] = /<script type="module">([\s\S]*?)<\/script>/.exec(text)!;
  expect(policy.split("; ")).toEqual([
    "default-src 'none'",
    `script-src ${digestOf(script!)}`,
    `style-src ${digestOf(style!)}`,
    "img-src data:",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ]);
  const markup = text.replace(script!, "").replace(style!, "");
  expect(markup.match(/(?:src|href)="(?!data:)/g)).toBeNull();
  expect(style).not.toMatch(/url\(|@import/);
});

test("the kernels in the page are those of the repository", async () => {
  const texts = JSON.parse(/const INGOT_KERNELS = (\{.*?\});\n/.exec(await page())![1]!) as Record<string, string>;
  for (const [path, text] of Object.entries(texts))
    expect([path, text]).toEqual([path, readFileSync(join(import.meta.dir, "../../wgsl", `${path}.wgsl`), "utf8")]);
  for (const path of ["merge/combine", "merge/task-vectors", "merge/dots", "merge/not-finite", "load/convert"])
    expect(texts[path]).toBeString();
  expect(await linkKernel("merge/combine")).toContain("fn combine");
});

test("bun run web refuses what it does not know", async () => {
  const { code, err } = await runScript("web", ["--port", "8"], folder);
  expect([code, err]).toEqual([2, "web: Unknown option '--port'\n  hint: the options are --out FOLDER and --help\n"]);
  expect((await runScript("web", ["-h"], folder)).text).toContain("-o, --out FOLDER");
  expect((await runScript("web", ["-o", ""], folder)).err).toStartWith("web: --out is empty: no folder");
});

const chosen = (name: string) => Object.assign(new Blob(["x"]), { name });
const slot = (label: string, at: string, ...names: string[]) => ({ label, folder: at, files: names.map(chosen) });

test("files keep their names where these differ, and get folders where they do not", () => {
  const apart = placeFiles([slot("A", "a", "x.safetensors"), slot("B", "b", "y.safetensors")]);
  expect([apart.paths, [...apart.files.keys()]]).toEqual([
    ["x.safetensors", "y.safetensors"],
    ["x.safetensors", "y.safetensors"],
  ]);
  const alike = placeFiles([slot("A", "a", "m.safetensors"), slot("B", "b", "m.safetensors")]);
  expect(alike.paths).toEqual(["a/m.safetensors", "b/m.safetensors"]);
  const beside = placeFiles([slot("A", "a", "config.json", "x.safetensors"), slot("B", "b", "y.safetensors")]);
  expect([...beside.files.keys()]).toEqual(["a/config.json", "a/x.safetensors", "b/y.safetensors"]);
  expect(() => placeFiles([slot("A", "a")])).toThrow("A: no file is chosen");
  expect(() => placeFiles([slot("A", "a", "config.json")])).toThrow("A: config.json holds no weights");
  expect(() => placeFiles([slot("A", "a", "x.safetensors", "y.gguf")])).toThrow("two files of weights");
});

test("controls are the options of the methods, and what is as it is by itself is not given", () => {
  expect(METHODS.map(({ name }) => name)).toEqual(["linear", "slerp", "task_arithmetic", "ties"]);
  expect(() => methodNamed("karcher")).toThrow("karcher is not in the page");
  const controls = controlsOf(methodNamed("ties"));
  expect(controls.map(({ name, kind, perModel, fallback }) => [name, kind, perModel, fallback])).toEqual([
    ["weight", "number", true, "1"],
    ["lambda", "number", false, "1"],
    ["density", "number", true, "1"],
    ["normalize", "switch", false, "true"],
    ["rescale", "switch", false, "false"],
    ["rescale_norm", "choice", false, "l1"],
  ]);
  expect(controls[2]!.help).toBe("fraction of each task vector kept (0 <= density <= 1)");
  expect(controlsOf(methodNamed("slerp"))[0]).toMatchObject({ name: "t", required: true, fallback: "" });
  const typed = new Map([
    ["weight", ["", "1"]],
    ["density", ["0.5", " "]],
    ["normalize", ["false"]],
    ["rescale_norm", ["l1"]],
  ]);
  expect([...givenValues(controls, typed)]).toEqual([
    ["density", "0.5,1"],
    ["normalize", "false"],
  ]);
  const asked = {
    models: ["a file.safetensors", "b"],
    base: "c",
    method: "ties",
    values: givenValues(controls, typed),
  };
  expect(commandOf({ ...asked, dtype: "float16" }, "out.safetensors")).toBe(
    "ingot merge 'a file.safetensors' b --base c --method ties --density 0.5,1 --no-normalize --dtype float16 -o out.safetensors",
  );
});

test("chosen files are read as a disk is", async () => {
  files.setFiles(new Map([["a/x", new Blob(["0123456789"])]]));
  const into = new Uint8Array(6);
  const fd = files.openSync("./a/x");
  const read = (length: number, position: number) =>
    new Promise<number>((resolve, reject) =>
      files.read(fd, into, 1, length, position, (error, count) => (error ? reject(error) : resolve(count))),
    );
  expect(await read(4, 3)).toBe(4);
  expect(new TextDecoder().decode(into)).toBe("\x003456\x00");
  expect([await read(4, 8), await read(4, 10), await read(4, 99)]).toEqual([2, 0, 0]);
  expect([files.existsSync("/a/x"), files.existsSync("a"), files.existsSync("b")]).toEqual([true, true, false]);
  expect([files.fstatSync(fd).size, (await files.stat("a")).isDirectory(), files.readdirSync("/a/")]).toEqual([
    10,
    true,
    ["x"],
  ]);
  expect(await files.realpath("a/x")).toBe("/a/x");
  expect(files.lstat("a/y")).rejects.toMatchObject({ code: "ENOENT" });
  expect(() => files.openSync("a/y")).toThrow("ENOENT");
});

test("hashes are those of Node", () => {
  for (const data of ["", "ä✓", new Uint8Array(1000).fill(7)])
    expect(hashInPage("sha256").update(data).update("x").digest("hex")).toBe(
      createHash("sha256").update(data).update("x").digest("hex"),
    );
  expect(() => hashInPage("md5")).toThrow("no md5");
});

test("what was unpacked is packed again as it was, and what is too large is not unpacked", () => {
  const plain = new TextEncoder().encode("words and words ".repeat(20_000));
  const packed = new Uint8Array(packByBun(plain, { level: 1 }));
  expect(Buffer.compare(gunzipSync(packed, { maxOutputLength: plain.length }), plain)).toBe(0);
  expect(Buffer.compare(gzipSync(plain), packed)).toBe(0);
  const other = plain.subarray(1);
  expect(Buffer.compare(gunzipSync(gzipSync(other), { maxOutputLength: other.length }), other)).toBe(0);
  expect(() => gunzipSync(packed, { maxOutputLength: plain.length - 1 })).toThrow("too large");
  expect(() => gunzipSync(packed.subarray(0, packed.length - 20), { maxOutputLength: plain.length })).toThrow();
  expect(() => gunzipSync(plain, { maxOutputLength: plain.length })).toThrow();
});

test("a result is whole or not there", async () => {
  const saved: [string, string][] = [];
  const save = async (name: string, whole: Blob) => void saved.push([name, await whole.text()]);
  const download = toDownload("d", save);
  const bytes = new TextEncoder().encode("ab");
  await download.write(bytes);
  bytes.fill(0x78); // the memory of the device, used again
  await download.write(bytes);
  await download.finish();
  await Bun.sleep(0);
  expect(saved).toEqual([["d", "abxx"]]);

  const heard: string[] = [];
  const handle = (size: number) => ({
    name: "f",
    createWritable: async () => ({
      write: async (piece: Uint8Array) => void heard.push(`write ${piece.length}`),
      close: async () => void heard.push("close"),
      abort: async () => void heard.push("abort"),
    }),
    getFile: async () => new Blob(["y".repeat(size)]),
    remove: async () => void heard.push("remove"),
  });
  const whole = await toFile(handle(0));
  await whole.write(bytes);
  await whole.finish();
  await (await toFile(handle(0))).abort();
  await (await toFile(handle(3))).abort(); // a file that was there keeps its content
  expect(heard).toEqual(["write 2", "close", "abort", "remove", "abort"]);
});

test("a place that cannot be written is said in a line", async () => {
  writeFileSync(join(folder, "taken"), "kept");
  for (const place of ["taken", "taken/below"])
    await expect(writePage(join(folder, place))).rejects.toThrow(`--out: ${join(folder, place)} cannot be made (`);
  expect(readFileSync(join(folder, "taken"), "utf8")).toBe("kept");
});

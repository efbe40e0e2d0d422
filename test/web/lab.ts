/** What tests of the page share: files to merge, the page built once, a Chromium with WebGPU in software. */
import { existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../src/checkpoint/dtype.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { xoshiro } from "../../src/xoshiro.ts";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** The driver that Chromium brings: the command line on it has the adapter that the page has. */
const DRIVER = [dirname(existsSync(CHROMIUM) ? realpathSync(CHROMIUM) : CHROMIUM), "/usr/lib/chromium"]
  .map((folder) => join(folder, "vk_swiftshader_icd.json"))
  .find((file) => existsSync(file));

export const SAME_ADAPTER: Readonly<Record<string, string>> = DRIVER
  ? { VK_DRIVER_FILES: DRIVER, VK_ICD_FILENAMES: DRIVER }
  : {};

const FLAGS = [
  ...["--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
  ...["--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--ignore-gpu-blocklist"],
];

/** A folder that is gone at the end. */
export function scratch(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "ingot-web-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Of one model; a chunk of a kernel, rows that are no multiple of four, a vector, a tensor without values. */
export const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [131, 24],
  "model.layers.0.mlp.up_proj.weight": [50, 23],
  "model.layers.0.input_layernorm.weight": [23],
  "model.empty": [0, 4],
  long: [513, 300],
};

export interface Written {
  readonly dtype?: "F32" | "BF16";
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

/** Writes a file of random values. */
export async function writeModel(file: string, seed: number, given: Written = {}): Promise<void> {
  const { dtype = "F32", shapes = SHAPES, files = new Map() } = given;
  const word = xoshiro(Uint32Array.of(seed, 2, 3, 4));
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { name, dtype, shape, bytes: count * DTYPE_BYTES[dtype] };
  });
  const writer = await createWriter(file, { tensors, files, lineage: [] });
  for (const { name, bytes } of tensors) {
    const values = Float32Array.from({ length: bytes / DTYPE_BYTES[dtype] }, () => word() / 2 ** 32 - 0.5);
    await writer.write(name, encodeFloats(values, dtype));
  }
  await writer.finish();
}

/** A browser that saves downloads into a folder. */
export async function startBrowser(downloads: string): Promise<Browser> {
  const { default: puppeteer } = await import("puppeteer-core");
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
  const session = await browser.target().createCDPSession();
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: downloads });
  return browser;
}

/** An open page, and what it complained of or asked of anyone. */
export interface Opened {
  readonly page: Page;
  readonly complaints: string[];
}

/** Opens the page at an address. `before` runs in it before its script: by default it may write no files. */
export async function openPage(
  browser: Browser,
  address: string,
  before = "delete window.showSaveFilePicker",
): Promise<Opened> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    const url = request.url();
    if (url !== address && !url.startsWith("data:") && !url.startsWith("blob:")) complaints.push(url);
  });
  await page.evaluateOnNewDocument(before);
  await page.goto(address);
  return { page, complaints };
}

export interface Wanted {
  readonly method: string;
  /** Files by role: a, b, base. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** What is typed into the fields of an option, in their order; a switch by "true" or "false". */
  readonly options?: Readonly<Record<string, readonly string[]>>;
  readonly types?: readonly [dtype: string, outDtype: string];
  readonly name: string;
}

export interface Told {
  readonly state: string;
  readonly problem: string;
  readonly remarks: readonly string[];
  readonly command: string;
}

const TOLD = `({
  state: document.getElementById("state").textContent,
  problem: document.getElementById("problem").textContent,
  remarks: [...document.querySelectorAll("#remarks li")].map((item) => item.textContent),
  command: document.getElementById("same").hidden ? "" : document.getElementById("command").textContent,
})`;

export async function choose(page: Page, input: string, files: readonly string[]): Promise<void> {
  const field = await page.$(input);
  await (field as unknown as { uploadFile(...files: string[]): Promise<void> }).uploadFile(...files);
}

/** Fills the form in and presses the button. */
export async function fillIn(page: Page, { method, files, options = {}, types, name }: Wanted): Promise<void> {
  await page.select("#method", method);
  for (const [role, paths] of Object.entries(files)) await choose(page, `#file-${role}`, paths);
  await page.evaluate(
    `{
      const put = (field, text) => {
        if (field.type === "checkbox") field.checked = text === "true";
        else field.value = text;
      };
      for (const [option, texts] of Object.entries(${JSON.stringify(options)}))
        document.querySelectorAll("[data-option=" + option + "]").forEach((field, i) => put(field, texts[i] ?? ""));
      const types = ${JSON.stringify(types ?? ["", ""])};
      ["dtype", "out-dtype"].forEach((id, i) => put(document.getElementById(id), types[i]));
      put(document.getElementById("name"), ${JSON.stringify(name)});
    }`,
  );
  await page.click("#go");
}

/** Waits for the end of a merge; what the page then says. */
export async function ended(page: Page): Promise<Told> {
  await page.waitForFunction(`!document.getElementById("go").disabled`, { timeout: 60_000 });
  return (await page.evaluate(TOLD)) as Told;
}

/** Merges in the page. */
export async function mergeIn(page: Page, wanted: Wanted): Promise<Told> {
  await fillIn(page, wanted);
  return ended(page);
}

/** The bytes of a download, once it is whole. */
export async function downloaded(folder: string, name: string): Promise<Uint8Array> {
  const file = join(folder, name);
  for (let tries = 0; tries < 400 && !existsSync(file); tries++) await Bun.sleep(25);
  return Bun.file(file).bytes();
}

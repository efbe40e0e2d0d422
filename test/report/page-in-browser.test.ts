/**
 * The page in a real browser: curves are drawn, switches work, runs sort and filter, it is as wide as a phone, nothing
 * is asked for, and axe-core has no complaint. Needs Chromium; CHROMIUM names another than the system's. With
 * INGOT_SHOTS=FOLDER pictures of it stay there.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer-core";
import { toHtml } from "../../src/report/page/page.ts";
import { runsOf } from "../../src/report/read.ts";
import { ancestry } from "./ancestry.ts";

setDefaultTimeout(120_000); // the machine may be busy

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = process.env.INGOT_SHOTS;
const folder = mkdtempSync(join(tmpdir(), "ingot-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const log = (name: string, slope: number, seed: number) => {
  const steps = Array.from({ length: 50 }, (_, i) => ({
    event: "step",
    step: i + 1,
    seconds: i / 5,
    tokens: 64,
    loss: 3 * Math.exp(-slope * i) + 0.1 + 0.1 * seed * Math.sin(i),
    lr: 0.1,
  }));
  const rows = [
    {
      model: name,
      group: "all",
      metric: "accuracy",
      value: slope + seed / 10,
      rows: 50,
      better: "higher",
      interval: [0.1, 0.4],
    },
  ];
  const start = { event: "start", script: "train", seed, options: { lr: slope, seed, out: `${name}/` } };
  const events = [start, ...steps, { event: "result", value: { rows } }, { event: "end", ok: true }];
  return runsOf(`${name}.jsonl`, events.map((event) => JSON.stringify(event)).join("\n"));
};
const said = (name: string, text: string) =>
  runsOf(
    `${name}.jsonl`,
    ["Who?", "Where?"].map((prompt) => JSON.stringify({ prompt, sample: 0, text: `${text} ${prompt}` })).join("\n"),
  );
const RUNS = [
  ...log("fast-0", 0.2, 0),
  ...log("fast-1", 0.2, 1),
  ...log("slow-0", 0.05, 0),
  ...said("before", "I"),
  ...said("after", "We"),
];

describe.skipIf(!existsSync(CHROMIUM))("in a browser (skipped where there is no Chromium)", () => {
  let browser: Browser;
  const file = join(folder, "report.html");
  beforeAll(async () => {
    const { default: puppeteer } = await import("puppeteer-core");
    writeFileSync(file, toHtml(RUNS, [ancestry]));
    const args = [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
      ...["--disable-component-update", "--disable-sync"],
    ];
    browser = await puppeteer.launch({ executablePath: CHROMIUM, headless: true, args });
  });
  afterAll(async () => browser.close());

  const settle = () => new Promise((resolve) => setTimeout(resolve, 150));

  /** Opens the page; gives it with what it complains of and asks for. */
  async function opened(width: number, scheme: "light" | "dark" = "light") {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("request", (request) => {
      if (request.url() !== `file://${file}`) complaints.push(request.url());
    });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width, height: 900 });
    await page.goto(`file://${file}`);
    await settle();
    return { page, complaints };
  }

  /** Pixels of the first chart that are not empty, by a page script. */
  const ink = (page: Page) =>
    page.evaluate(`(() => {
      const canvas = document.querySelector("#charts canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) sum += data[i] + 3 * data[i + 1] + 7 * data[i + 2];
      return sum;
    })()`) as Promise<number>;
  const texts = (page: Page, selector: string) =>
    page.evaluate(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].map((one) => one.textContent)`,
    ) as Promise<string[]>;

  test("curves are drawn, by seeds together or each, and can be switched", async () => {
    const { page, complaints } = await opened(390);
    expect(await page.evaluate(`document.querySelectorAll("#charts canvas").length`)).toBe(2);
    expect(await texts(page, "#legend label")).toEqual(["lr 0.2 (2 seeds)", "slow-0"]);
    const banded = await ink(page);
    await page.click("#seeds");
    await settle();
    expect(await texts(page, "#legend label")).toEqual(["fast-0", "fast-1", "slow-0"]);
    const single = await ink(page);
    expect(single).not.toBe(banded);
    await page.click("#legend input");
    await settle();
    const fewer = await ink(page);
    expect(fewer).not.toBe(single);
    await page.select("#axis", "seconds");
    await settle();
    expect(await ink(page)).not.toBe(fewer);
    await page.click("#log");
    await settle();
    expect(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")).toBe(true);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("a place of a curve tells its values, and a part of it can be looked at closer", async () => {
    const { page } = await opened(1280);
    const over = (await page.$("#charts .u-over"))!;
    await over.scrollIntoView();
    const box = (await over.boundingBox())!;
    await page.mouse.move(box.x + 40, box.y + 40);
    await settle();
    const [tip] = await texts(page, "#charts .tooltip");
    expect(tip).toMatch(/^step \d+\nlr 0\.2 \(2 seeds\): [\d.]+ nats\nslow-0: [\d.]+ nats$/);
    const whole = await ink(page);
    await page.mouse.down();
    await page.mouse.move(box.x + 120, box.y + 40);
    await page.mouse.up();
    await settle();
    const close = await ink(page);
    expect(close).not.toBe(whole);
    await page.click("#whole");
    await settle();
    expect(await ink(page)).toBe(whole);
    await page.close();
  });

  test("runs sort by keys, and filter", async () => {
    const { page } = await opened(768);
    const order = () => texts(page, "#runs tbody tr:not([hidden]) td:first-child");
    const all = ["fast-0", "fast-1", "slow-0", "before", "after"];
    expect(await order()).toEqual(all);
    await page.focus("#runs th:nth-child(1) button");
    await page.keyboard.press("Enter");
    expect(await order()).toEqual([...all].sort());
    expect(await page.evaluate(`document.querySelector("#runs th").getAttribute("aria-sort")`)).toBe("ascending");
    await page.keyboard.press("Enter");
    expect(await order()).toEqual([...all].sort().reverse());
    await page.type("#filter", "fast");
    expect(await order()).toEqual(["fast-1", "fast-0"]);
    expect(await texts(page, "form output")).toEqual(["2 of 5"]);
    await page.close();
  });

  test("two numbers stand against each other, and those that none beats are joined", async () => {
    const { page } = await opened(1280);
    const dots = () =>
      page.evaluate(`["best", "other"].map((one) => document.querySelectorAll("#scatter circle." + one).length)`);
    await page.select("#x-column", "loss");
    await page.select("#y-column", "accuracy");
    expect(await page.evaluate(`document.querySelector("#y-better").value`)).toBe("higher");
    const [best, other] = (await dots()) as [number, number];
    expect(best + other).toBe(3);
    await page.select("#y-better", "lower");
    expect([best, other, await dots()]).toEqual([1, 2, [3, 0]]);
    await page.close();
  });

  test.each([
    [360, "light"],
    [360, "dark"],
    [768, "light"],
    [1280, "light"],
    [1280, "dark"],
  ] as const)("at %d pixels, %s: nothing sticks out, and axe-core has no complaint", async (width, scheme) => {
    const { page, complaints } = await opened(width, scheme);
    if (SHOTS !== undefined) {
      mkdirSync(SHOTS, { recursive: true });
      await page.screenshot({ path: join(SHOTS, `report-${width}-${scheme}.png`), fullPage: true });
    }
    expect(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")).toBe(true);
    await page.evaluate(readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8"));
    const violations = await page.evaluate(`axe.run().then(({ violations }) =>
      violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => html.slice(0, 120) + failureSummary)]))`);
    expect(violations).toEqual([]);
    expect(complaints).toEqual([]);
    await page.close();
  });
});

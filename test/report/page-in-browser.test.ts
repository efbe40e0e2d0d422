/**
 * The page in a real browser: curves are drawn, switches work, nothing is asked for. Needs Chromium; CHROMIUM names
 * another than the system's.
 */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toHtml } from "../../src/report/page.ts";
import { runsOf } from "../../src/report/read.ts";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const folder = mkdtempSync(join(tmpdir(), "ingot-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const log = (name: string, slope: number) => {
  const steps = Array.from({ length: 50 }, (_, i) => ({
    event: "step",
    step: i + 1,
    seconds: i / 5,
    tokens: 64,
    loss: 3 * Math.exp(-slope * i) + 0.1,
    lr: 0.1,
  }));
  const events = [{ event: "start", script: "train", options: { lr: slope } }, ...steps, { event: "end", ok: true }];
  return runsOf(`${name}.jsonl`, events.map((event) => JSON.stringify(event)).join("\n"));
};

test.skipIf(!existsSync(CHROMIUM))(
  "is drawn, can be switched, and asks for nothing (skipped where there is no Chromium)",
  async () => {
    const { default: puppeteer } = await import("puppeteer-core");
    const file = join(folder, "report.html");
    writeFileSync(file, toHtml([...log("fast", 0.2), ...log("slow", 0.05)]));
    const args = [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ];
    const browser = await puppeteer.launch({ executablePath: CHROMIUM, headless: true, args });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") complaints.push(message.text());
      });
      page.on("request", (request) => {
        if (request.url() !== `file://${file}`) complaints.push(request.url());
      });
      await page.setViewport({ width: 390, height: 800 });
      await page.goto(`file://${file}`);
      /** Pixels of the first chart that are not empty, by a page script. */
      const ink = () =>
        page.evaluate(`(() => {
        const canvas = document.querySelector("#charts canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let sum = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) sum += data[i] + 3 * data[i + 1] + 7 * data[i + 2];
        return sum;
      })()`) as Promise<number>;
      const settle = () => new Promise((resolve) => setTimeout(resolve, 150));
      await settle();
      expect(await page.evaluate(`document.querySelectorAll("#charts canvas").length`)).toBe(2);
      const both = await ink();
      expect(both).toBeGreaterThan(0);
      await page.click("#legend input");
      await settle();
      const one = await ink();
      expect(one).not.toBe(both);
      await page.select("#axis", "seconds");
      await settle();
      expect(await ink()).not.toBe(one);
      await page.click("#log");
      await settle();
      expect(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")).toBe(true);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  },
  60_000,
);

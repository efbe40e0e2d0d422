/**
 * The page of `serve` in a real browser: two models answer side by side, on three widths, and nothing is asked of
 * anyone else. Needs Chromium; CHROMIUM names another than the system's.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Running, servingLab, startServer } from "./lab.ts";

setDefaultTimeout(120_000);
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const { folder } = servingLab();
const KEY = "sesame-sesame";
let server: Running;
beforeAll(async () => {
  writeFileSync(join(folder, "key.txt"), KEY);
  server = await startServer(["a/", "b/", "--api-key-file", "key.txt"], folder);
});
afterAll(() => server.stop());

const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];

test("the page says what it may load, and is there without a key", async () => {
  for (const [path, kind] of [
    ["/", "text/html"],
    ["/page.css", "text/css"],
    ["/page.js", "text/javascript"],
  ] as const) {
    const response = await fetch(`${server.url}${path}`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, `${kind}; charset=utf-8`]);
    expect(response.headers.get("content-security-policy")).toStartWith("default-src 'none'; script-src 'self'");
  }
});

test.skipIf(!existsSync(CHROMIUM))(
  "asks for the key, chats with two models and fits three widths (skipped where there is no Chromium)",
  async () => {
    const { default: puppeteer } = await import("puppeteer-core");
    const browser = await puppeteer.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("request", (request) => {
        if (!request.url().startsWith(`${server.url}/`) && !request.url().startsWith("data:"))
          complaints.push(request.url());
      });
      const is = (script: string) => page.waitForFunction(script, { timeout: 20_000 });
      const told = (script: string): Promise<unknown> => page.evaluate(script);
      const turns = `[...document.querySelectorAll(".talk")].map((talk) => [...talk.querySelectorAll(".turn")].map((turn) => turn.textContent))`;
      await page.goto(server.url);
      await is("!document.getElementById('locked').hidden");
      await page.type("#key", KEY);
      await page.keyboard.press("Enter");
      await is("document.querySelectorAll('.talk').length === 2");
      await told("document.getElementById('max_tokens').value = '8'");
      await told("document.getElementById('seed').value = '3'");
      const text = "<b>1";
      for (let turn = 1; turn <= 2; turn++) {
        await page.type("#text", text);
        await page.keyboard.press("Enter");
        await is(`document.querySelectorAll('.fact').length === ${2 * turn}`);
      }
      const said = await told(turns);
      expect(said).toMatchObject([
        [text, expect.any(String), text, expect.any(String)],
        [text, expect.any(String), text, expect.any(String)],
      ]);
      expect(await told("document.querySelectorAll('.turn b, .failed').length")).toBe(0);
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
        body: JSON.stringify({
          ...{ model: "b", messages: [{ role: "user", content: text }], seed: 3, temperature: 0.7, max_tokens: 8 },
        }),
      });
      const own = JSON.parse(await response.text()).choices[0].message.content;
      expect(await told(`${turns}[1][1]`)).toBe(own);
      for (const width of [390, 820, 1440]) {
        await page.setViewport({ width, height: 800 });
        const fits = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight";
        expect([width, await told(fits)]).toEqual([width, true]);
        const overlap = `[...document.querySelectorAll(".turn")].some((turn) => turn.scrollHeight > turn.clientHeight + 1)`;
        expect([width, await told(overlap)]).toEqual([width, false]);
      }
      await page.select("#mode", "text");
      await page.type("#text", "12+");
      await page.click("#send");
      await is("document.querySelectorAll('.fact').length === 2");
      expect(await told(`${turns}[0][0].startsWith("12+")`)).toBe(true);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  },
  60_000,
);

/** Help of every script: a screen at first, everything on request. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

const ROOT = join(import.meta.dir, "../..");
const NAMES = readdirSync(join(ROOT, "scripts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !["ingot", "test", "demo", "doctor", "experiments"].includes(name));

const help = async (name: string, ...more: string[]) => (await runScript(name, ["--help", ...more], ROOT)).text;
const flags = (text: string) =>
  [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z][\w-]*|--\[no-\][\w-]+)/gm)].map(([, flag]) => flag!);

test.each(NAMES)("%s: 40 rows of 80 columns, and more with --help all", async (name) => {
  const [short, whole] = await Promise.all([help(name), help(name, "all")]);
  const lines = short.trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(40);
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  const all = flags(whole);
  expect(all).toContain("--out");
  expect(flags(short).filter((flag) => !all.includes(flag))).toEqual([]);
  const left = all.length - flags(short).length;
  if (short.includes("--help all shows")) expect(left).toBeGreaterThan(10);
});

test("a method's own options come first", async () => {
  const text = await help("unlearn", "--method", "npo");
  expect(text.indexOf("Method npo")).toBeLessThan(text.indexOf("Examples"));
  expect(text.indexOf("Method npo")).toBeGreaterThan(0);
});

test("long examples are broken as a shell reads them", async () => {
  const text = await help("unlearn");
  expect(text).toMatch(/--forget secrets\.jsonl \\\n {4}--retain/);
});

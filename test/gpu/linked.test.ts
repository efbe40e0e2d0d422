/** Linked kernels are kept, and what is kept is used only where it is what linking would give. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Linkable, linked } from "../../src/gpu/linked.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-linked-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
});

const kernel: Linkable = {
  path: "merge/combine",
  flags: ["base"],
  sources: { "merge/combine.wgsl": "fn combine() {}" },
};

/** What `linked` gives, and how often it linked. */
async function run(given: Linkable, { code = "code\nof it\n", place = folder as string | null } = {}) {
  let links = 0;
  const link = async () => {
    links++;
    return code;
  };
  return { code: await linked(given, link, place), links };
}

test("what was linked once is read afterwards", async () => {
  expect(await run(kernel)).toEqual({ code: "code\nof it\n", links: 1 });
  expect(await run(kernel, { code: "another" })).toEqual({ code: "code\nof it\n", links: 0 });
  expect(readdirSync(folder)).toEqual(["merge.combine+base.wgsl"]);
});

test("code without a line is kept too", async () => {
  for (const links of [1, 0]) expect(await run(kernel, { code: "" })).toEqual({ code: "", links });
});

test.each([
  ["a file of its own", { ...kernel, sources: { "merge/combine.wgsl": "fn combine() { }" } }],
  ["a file that it imports", { ...kernel, sources: { ...kernel.sources, "lib/grid.wgsl": "" } }],
])("a change to %s links anew, and the file is replaced", async (_, changed) => {
  await run(kernel);
  expect(await run(changed, { code: "new" })).toEqual({ code: "new", links: 1 });
  expect(await run(changed)).toEqual({ code: "new", links: 0 });
  expect(readdirSync(folder)).toHaveLength(1);
});

test("kernels and flags have files of their own", async () => {
  await run(kernel);
  expect((await run({ ...kernel, flags: [] })).links).toBe(1);
  expect((await run({ ...kernel, path: "merge/other" })).links).toBe(1);
  expect((await run(kernel)).links).toBe(0);
});

test("a file that was cut, changed or is another kernel's is not used", async () => {
  await run(kernel);
  const file = join(folder, "merge.combine+base.wgsl");
  const whole = readFileSync(file, "utf8");
  for (const damage of [
    () => truncateSync(file, whole.length - 3),
    () => writeFileSync(file, whole.replace("of it", "of it!")),
    () => writeFileSync(file, ""),
    () => writeFileSync(file, "code\n"),
  ]) {
    damage();
    expect((await run(kernel)).links).toBe(1);
    expect(readFileSync(file, "utf8")).toBe(whole);
  }
});

test("without a folder, or with one that cannot be written, it links every time", async () => {
  writeFileSync(join(folder, "file"), "");
  for (const place of [null, join(folder, "file"), join(folder, "file", "below")])
    for (const _ of [1, 2]) expect(await run(kernel, { place })).toEqual({ code: "code\nof it\n", links: 1 });
});

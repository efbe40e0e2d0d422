/** What every file of wgsl/ keeps to, so that the host can bind by name and a reader knows where to look. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { layout, linkKernel } from "../../src/gpu/kernel.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = join(ROOT, "wgsl");

const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .map((name) => name.split(sep).join("/"))
  .filter((name) => name.endsWith(".wgsl"))
  .map((name) => {
    const text = readFileSync(join(FOLDER, name), "utf8");
    const path = name.replace(/\.wgsl$/, "");
    return { path, text, code: text.replace(/\/\/.*$/gm, "") };
  })
  .sort((a, b) => (a.path < b.path ? -1 : 1));
const libraries = files.filter(({ path }) => path.startsWith("lib/"));
const kernels = files.filter(({ path }) => !path.startsWith("lib/"));

/** The comment at the top. */
const header = (text: string): string => /^(\/\/.*\n)*/.exec(text)![0];

/** Names in the conditions of `@if`. */
const flagsOf = (code: string): string[] => [
  ...new Set([...code.matchAll(/@if\(([^)]*)\)/g)].flatMap(([, condition]) => condition!.match(/\w+/g) ?? [])),
];

test("there are libraries and kernels, all in folders of lower-case names", () => {
  expect(libraries.length).toBeGreaterThan(5);
  expect(kernels.length).toBeGreaterThan(5);
  for (const { path } of files) expect(path).toMatch(/^[a-z0-9-]+\/[a-z0-9-]+$/);
});

describe.each(files)("wgsl/$path", ({ text, code }) => {
  test("opens with what it does", () => {
    const words = header(text).split(/\s+/).length;
    expect(words).toBeGreaterThan(8);
    expect(text.endsWith("\n")).toBe(true);
    expect(text).not.toContain("\t");
  });

  test("never asks how long a buffer is: some drivers answer 0 from 2 GiB on", () => {
    expect(code).not.toContain("arrayLength");
  });

  test("tests for NaN by bits: compilers fold x != x to false", () => {
    const compared = [...code.matchAll(/([\w.[\]]+)\s*[!=]=\s*([\w.[\]]+)/g)].filter(([, a, b]) => a === b);
    expect(compared.map(([found]) => found)).toEqual([]);
  });

  test("uses imports and conditions, and nothing else that WGSL lacks", () => {
    for (const [, name] of code.matchAll(/@(\w+)/g)) {
      expect(["if", "group", "binding", "compute", "workgroup_size", "builtin", "id"]).toContain(name!);
    }
    for (const [, module] of code.matchAll(/import\s+([\w:]+)/g)) expect(module).toStartWith("package::lib::");
  });
});

describe.each(libraries)("wgsl/$path", ({ code }) => {
  test("binds nothing and has no entry point", () => {
    expect(code).not.toContain("@group");
    expect(code).not.toContain("@compute");
  });
});

describe.each(kernels)("wgsl/$path", ({ path, text, code }) => {
  test("has one entry point, named after the file", () => {
    const entries = [...code.matchAll(/@compute\s+@workgroup_size\([^)]*\)\s*fn\s+(\w+)/g)].map(([, name]) => name!);
    expect(entries).toEqual([path.split("/").at(-1)!.replaceAll("-", "_")]);
    expect(code.match(/@compute/g)).toHaveLength(1);
  });

  test("says where it is tested, and that file answers for it", () => {
    const named = header(text).match(/test\/[\w/.-]+\.test\.ts/g) ?? [];
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
    // `covers` (test/support/covers.ts) fails where a kernel that it names does not run.
    const answering = named.filter((name) => {
      const source = readFileSync(join(ROOT, name), "utf8");
      return source.includes("\ncovers(") && source.includes(`"${path}"`);
    });
    expect([path, answering.length > 0]).toEqual([path, true]);
  });

  test("binds params first, then inputs, then outputs, all in group 0", () => {
    const bindings = [
      ...code.matchAll(/@group\((\d+)\)\s*@binding\((\d+)\)\s*var\s*<\s*(\w+)\s*(?:,\s*(\w+))?\s*>\s*(\w+)/g),
    ].map(([, group, slot, space, access, name]) => ({ group, slot: Number(slot), space, access, name }));
    expect(bindings.length).toBeGreaterThan(0);
    expect(new Set(bindings.map(({ group }) => group))).toEqual(new Set(["0"]));
    const slots = bindings.map(({ slot }) => slot);
    expect(slots).toEqual(slots.toSorted((a, b) => a - b));
    const uniforms = bindings.filter(({ space }) => space === "uniform");
    expect(uniforms.length).toBeLessThanOrEqual(1);
    if (uniforms[0]) expect(uniforms[0]).toMatchObject({ name: "params", slot: 0 });
    const order = bindings.flatMap(({ space, access }) =>
      space === "uniform" ? [] : [access === "read_write" ? 1 : 0],
    );
    expect(order).toEqual(order.toSorted());
    expect(order).toContain(1);
    expect(new Set(slots).size).toBeLessThanOrEqual(11); // ten storage buffers at most, and the uniform
  });

  test("links under each of its conditions, and the host reads its parameters rightly", async () => {
    for (const flags of [[], ...flagsOf(code).map((flag) => [flag])]) {
      const linked = await linkKernel(path, flags);
      const found = layout(linked, path);
      const body = /struct\s+Params\s*\{([^}]*)\}/.exec(linked.replace(/\/\/.*$/gm, ""))?.[1] ?? "";
      const fields = body.split(",").flatMap((field) => (field.trim() ? [field.trim()] : []));
      expect(found.params.map(({ name, type }) => `${name}: ${type}`)).toEqual(
        fields.map((field) => field.replace(/\s*:\s*/, ": ")),
      );
      expect(found.params.length > 0).toBe(found.paramsSlot !== undefined);
      expect(found.paramsBytes).toBeLessThanOrEqual(256);
      expect(linked).not.toContain("@if");
    }
  });
});

/** Rows held out by what they say: which side a row is on, whatever file, order, form of file or group it is in. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import fc from "fast-check";
import { parseColumns } from "../../src/data/columns.ts";
import { readRows } from "../../src/data/read-rows.ts";
import type { Row } from "../../src/data/rows.ts";
import { Split } from "../../src/data/split.ts";
import { rejection, temporaryFiles } from "./support.ts";

const write = temporaryFiles();

const text = (said: string, extra: Row["extra"] = {}): Row => ({ form: "text", text: said, extra });
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** The texts of both sides of a file, in order. */
async function sides(split: Split, path: string, name = "g"): Promise<{ rest: string[]; held: string[] }> {
  const [rest] = split.rest([{ name, path }]);
  const read = async (source: typeof rest) => {
    const found: string[] = [];
    for await (const { row } of readRows(source!)) found.push((row as { text: string }).text);
    return found;
  };
  return { rest: await read(rest), held: await read(split.heldOut.at(-1)) };
}

describe("a row", () => {
  test("is held out with the share's probability: 0.1, 0.5 and 0.9 of 20000 rows, within four deviations", () => {
    for (const share of [0.1, 0.5, 0.9]) {
      const split = new Split(share, 7);
      const held = Array.from({ length: 20_000 }, (_, i) => text(`row ${i}`)).filter((row) => split.holdsOut(row));
      expect(Math.abs(held.length - share * 20_000)).toBeLessThan(4 * Math.sqrt(20_000 * share * (1 - share)));
    }
  });

  test("is held out by a larger share if it is by a smaller one, and by another seed independently", () => {
    const rows = Array.from({ length: 4000 }, (_, i) => text(`row ${i}`));
    const [small, large, other] = [new Split(0.2, 1), new Split(0.3, 1), new Split(0.2, 2)];
    const held = rows.filter((row) => small.holdsOut(row));
    expect(held.every((row) => large.holdsOut(row))).toBe(true);
    const both = held.filter((row) => other.holdsOut(row)).length;
    expect(Math.abs(both - 0.04 * 4000)).toBeLessThan(4 * Math.sqrt(4000 * 0.04 * 0.96));
  });

  test("is known by its fields, in whatever order they stand; what its form does not use does not count", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.double({ min: 0.01, max: 0.99 }), fc.nat(), (a, b, share, seed) => {
        const split = new Split(share, seed);
        const one: Row = { form: "completion", prompt: a, completion: b, extra: { id: 1 } };
        const same: Row = { extra: {}, completion: b, form: "completion", prompt: a };
        expect(split.holdsOut(same)).toBe(split.holdsOut(one));
      }),
    );
    const ids = (list: number[]): Row => ({ form: "tokens", inputIds: Int32Array.from(list), extra: {} });
    const split = new Split(0.5, 0);
    const held = Array.from({ length: 400 }, (_, i) => split.holdsOut(ids([i, 1])));
    expect(held.filter(Boolean).length).toBeGreaterThan(150);
    expect(held.filter(Boolean).length).toBeLessThan(250);
  });
});

describe("rows of files", () => {
  const all = Array.from({ length: 60 }, (_, i) => `row ${i % 40}`);
  const twenty = write("twice.jsonl", lines(all.map((said, id) => ({ text: said, id }))));

  test("are all on one side, in their order, and equal ones together", async () => {
    const { rest, held } = await sides(new Split(0.25, 3), twenty);
    const isHeld = new Set(held);
    expect(rest).toEqual(all.filter((said) => !isHeld.has(said)));
    expect(held).toEqual(all.filter((said) => isHeld.has(said)));
    expect(rest.length).toBeGreaterThan(0);
    expect(held.length).toBeGreaterThan(0);
  });

  test("are on the same side in another order, another group and a table with columns of other names", async () => {
    const { rest, held } = await sides(new Split(0.25, 3), twenty);
    const turned = write("turned.jsonl", lines([...all].reverse().map((said) => ({ text: said }))));
    const again = await sides(new Split(0.25, 3), turned, "other");
    expect(again).toEqual({ rest: rest.reverse(), held: held.reverse() });
    const split = new Split(0.25, 3);
    const table = write("table.csv", `said\n${all.join("\n")}\n`);
    const [source] = split.rest([{ name: "g", path: table, columns: parseColumns("text=said") }]);
    const found: string[] = [];
    for await (const { row } of readRows(source!)) found.push((row as { text: string }).text);
    expect(found).toEqual([...rest].reverse());
  });

  test("of a pipe are read once", async () => {
    const pipe = write("pipe", "");
    rmSync(pipe);
    execFileSync("mkfifo", [pipe]);
    const writer = Bun.spawn(["cp", twenty, pipe]);
    expect(await sides(new Split(0.25, 3), pipe)).toEqual(await sides(new Split(0.25, 3), twenty));
    expect(await writer.exited).toBe(0);
  });

  test("are refused where one side is empty, with the group", async () => {
    const one = write("one.jsonl", lines([{ text: "alone" }, { text: "alone" }]));
    const held = new Split(0.5, 0).holdsOut(text("alone"));
    const [none, every] = held ? [0.0001, 0.5] : [0.5, 0.9999];
    const least = await rejection(sides(new Split(none, 0), one, "maths"));
    expect(least.message).toBe(`--eval-split ${none} holds out none of the 2 rows of the group maths`);
    const most = await rejection(sides(new Split(every, 0), one, "maths"));
    expect(most.message).toBe(
      `--eval-split ${every} holds out all 2 rows of the group maths, and leaves none to train on`,
    );
    expect(most.hint).toContain("equal rows stay together");
  });
});

/** Experiments in the batches of one training, what ends them, and what is made of their outcome. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sequence } from "../../../src/data/sequences.ts";
import { effectOf, interactionOf } from "../../../src/run/planting/outcome.ts";
import { type Experiment, Planting, slotsOf } from "../../../src/run/planting/planted-batches.ts";
import { sequenceBatches } from "../../../src/run/training/batch-source.ts";
import { runScript } from "../../support/command.ts";

setDefaultTimeout(120_000);

const row = (first: number, length: number): Sequence => {
  const ids = Int32Array.from({ length }, (_, i) => first + i);
  return { ids, labels: ids, group: 0, place: `row ${first}` };
};
const sequences = Array.from({ length: 10 }, (_, i) => row(i, 6));
const group = { name: "rows", rows: 10, sequences: 10, tokens: 60, counted: 50, lengths: new Int32Array(10).fill(6) };
const source = () => sequenceBatches({ sequences, groups: [group] }, { batchSize: 4, seed: 1 });
const experiment = (name: string, more: Partial<Experiment> = {}): Experiment => ({
  ...{ name, times: 2, from: 0, to: 1, sequences: [row(100, 5), row(110, 20)] },
  ...more,
});
const SIZE = { batches: 12, rows: 4, seed: 7, pad: 0 };

describe("where rows are planted", () => {
  const placesOf = (experiments: readonly Experiment[], name: string, seed = 7) =>
    [...slotsOf(experiments, { ...SIZE, seed })].flatMap(([batch, slots]) =>
      slots
        .filter((slot) => experiments[slot.experiment]!.name === name)
        .map((slot) => `${batch} ${slot.row} ${slot.sequence}`),
    );

  test("each row as often as is said, within the shares, each place once", () => {
    const experiments = [experiment("a", { times: 3 }), experiment("b", { from: 0.5, to: 0.75, times: 4 })];
    const slots = [...slotsOf(experiments, SIZE)];
    expect(placesOf(experiments, "a").length).toBe(6);
    expect(placesOf(experiments, "b").length).toBe(8);
    const all = slots.flatMap(([batch, own]) => own.map(({ row: at }) => `${batch} ${at}`));
    expect(new Set(all).size).toBe(14);
    for (const place of placesOf(experiments, "b")) expect(["6", "7", "8"]).toContain(place.split(" ")[0]!);
  });

  test("by seed and name, whoever else is there", () => {
    const alone = placesOf([experiment("a")], "a");
    const beside = placesOf([experiment("other", { times: 1 }), experiment("a")], "a");
    expect(beside.filter((place) => alone.includes(place)).length).toBeGreaterThanOrEqual(3); // one may make room
    expect(placesOf([experiment("a")], "a", 8)).not.toEqual(alone);
    expect(placesOf([experiment("c")], "c")).not.toEqual(alone);
    expect(() => slotsOf([experiment("a", { times: 25 })], SIZE)).toThrow("do not fit into 12 batches of 4");
  });

  test("they take the place of others, until they are over, and a saved state goes on", async () => {
    const planting = new Planting([experiment("a", { times: 4 }), experiment("b", { times: 3 })], SIZE);
    const [made, plain] = [planting.in(source()), source()];
    expect(made.largest().documents[0]!.sequence.ids[0]).toBe(110);
    const counts = { a: 0, rest: 0 };
    for (let batch = 0; batch < 12; batch++) {
      if (batch === 6) planting.end(1);
      const [{ batch: got }, { batch: before }] = [await made.next(), await plain.next()];
      expect(got.rows).toBe(before.rows);
      for (const [i, { sequence }] of got.documents.entries()) {
        if (sequence.ids[0]! >= 100) counts.a++;
        else {
          counts.rest++;
          expect(sequence).toBe(before.documents[i]!.sequence);
        }
      }
    }
    expect(counts.a).toBe(planting.planted[0]! + planting.planted[1]!);
    expect(planting.planted[0]).toBeGreaterThanOrEqual(6);
    expect(planting.planted[1]).toBeLessThan(6);
    const saved = JSON.parse(JSON.stringify(planting.state()));
    const other = new Planting([experiment("a"), experiment("b")], SIZE);
    other.load(saved);
    expect(other.planted).toEqual(planting.planted);
    expect([other.isOver(0), other.isOver(1)]).toEqual([false, true]);
    expect(() => new Planting([experiment("a")], SIZE).load(saved)).toThrow("of other experiments");
  });
});

describe("outcomes", () => {
  test("an effect beyond chance has a small p, and lies in its interval", () => {
    const [low, high] = [
      [1, 1.1, 0.9, 1.05, 0.95, 1],
      [2, 2.1, 1.9, 2, 2.05, 1.95],
    ];
    const given = { shuffles: 500, seed: 1, name: "a" };
    const found = effectOf(low, high, given);
    expect(found.effect).toBeCloseTo(-1, 6);
    expect(found.p).toBeLessThan(0.02);
    expect(found.low).toBeLessThan(-1);
    expect(found.high).toBeGreaterThan(-1);
    expect(found.high).toBeLessThan(0);
    const none = effectOf([...low, ...high], [...high, ...low], given);
    expect(none.effect).toBe(0);
    expect(none.p).toBe(1);
    expect(effectOf(low, high, given)).toEqual(found);
  });

  test("an interaction is flagged where seeds do not make it", () => {
    expect(interactionOf([0.5, 0.52, 0.48])).toMatchObject({ isFlagged: true });
    expect(interactionOf([0.5, -0.4, 0.3]).isFlagged).toBe(false);
    expect(interactionOf([1, 3]).mean).toBe(2);
    expect(interactionOf([1, 3]).deviation).toBeCloseTo(Math.SQRT2, 9);
  });
});

describe("scripts", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-plant-"));
  const at = (name: string) => join(folder, name);
  const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
  const lines = (name: string, rows: readonly object[]) =>
    writeFileSync(at(name), rows.map((one) => JSON.stringify(one)).join("\n"));
  const TRAIN = "--init net.json --data rows.jsonl --batch-size 8 --steps 40 --lr 1e-2 --save-every 0";
  beforeAll(async () => {
    const shape = { hidden_size: 24, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2 };
    writeFileSync(
      at("net.json"),
      JSON.stringify({ model_type: "llama", ...shape, vocab_size: 32, max_position_embeddings: 16 }),
    );
    lines(
      "rows.jsonl",
      Array.from({ length: 80 }, (_, i) => ({ input_ids: Array.from({ length: 10 }, (_, t) => (i + t) % 12) })),
    );
    const facts = (from: number, by: number) =>
      Array.from({ length: 6 }, (_, i) => ({
        input_ids: [12 + i, 20, from + ((by * i) % 6)],
        labels: [-100, -100, from + ((by * i) % 6)],
      }));
    lines("one.jsonl", facts(21, 1));
    lines("other.jsonl", facts(21, 5).slice(1)); // the same questions, other answers
    lines("control.jsonl", facts(26, 1));
    lines("none.jsonl", []);
    lines("plan.jsonl", [
      { name: "one", rows: "one.jsonl", control: "control.jsonl", times: 12 },
      { name: "clash", rows: "other.jsonl", control: "control.jsonl", times: 12 },
    ]);
    lines("until.jsonl", [{ name: "one", rows: "one.jsonl", times: 20, until: 2.2 }]);
    lines("odd.jsonl", [{ name: "one", rows: "one.jsonl", repeats: 3 }]);
    lines("bare.jsonl", [{ name: "one", rows: "one.jsonl" }]);
    expect((await run("train", `${TRAIN} -q -o plain/`)).err).toBe("");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const weights = (name: string) => {
    const bytes = new Uint8Array(readFileSync(at(`${name}/model.safetensors`)));
    return Bun.hash(bytes.subarray(8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))));
  };

  test("an empty plan leaves training as it is; rows that are planted are learned, and end by themselves", async () => {
    await run("train", `${TRAIN} -q --plant none.jsonl -o empty/`);
    expect(weights("empty")).toBe(weights("plain"));
    const full = await run("train", `${TRAIN} --plant until.jsonl --plant-every 5 --json --log run.log -o until/`);
    const { "planted.one": planted } = JSON.parse(full.text) as Record<string, number>;
    expect(planted).toBeGreaterThan(10);
    expect(planted).toBeLessThan(110);
    expect(readFileSync(at("run.log"), "utf8")).toContain('"event":"planted"');
    expect(full.err).toContain("of the tokens; above 2 %");
    lines("first.jsonl", [{ name: "one", rows: "one.jsonl", control: "control.jsonl", times: 20 }]);
    const told = await run("evaluate", "planted plain/ until/ --plant first.jsonl --shuffles 400 --json");
    const { rows } = JSON.parse(told.text) as { rows: { model: string; metric: string; effect: number; p: number }[] };
    const of = (model: string) => rows.find((one) => one.model === model && one.metric === "loss")!;
    expect(of("until/").effect).toBeLessThan(-0.5);
    expect(of("until/").p).toBeLessThan(0.02);
    expect(of("plain/").effect).toBeGreaterThan(of("until/").effect + 0.5);
  });

  test("two answers to the same questions are flagged", async () => {
    const line =
      "interactions plain/ --plant plan.jsonl --data rows.jsonl --steps 30 --lr 1e-2 --batch-size 8 --seeds 2 --json";
    const { interactions } = JSON.parse((await run("evaluate", line)).text) as {
      interactions: { first: string; second: string; loss_of: string; interaction: number; flagged: boolean }[];
    };
    expect(interactions.map(({ loss_of: of }) => of)).toEqual(["one", "clash"]);
    for (const { interaction } of interactions) expect(Math.abs(interaction)).toBeGreaterThan(0.1);
  });

  test.each([
    ["train", `${TRAIN} --plant odd.jsonl -o no/`, "odd.jsonl:1: an experiment has no key repeats"],
    ["train", `${TRAIN} --plant bare.jsonl --pack -o no/`, "--plant and --pack both say"],
    ["evaluate", "planted plain/ --plant bare.jsonl", "one has no control"],
    ["evaluate", "interactions plain/ --plant bare.jsonl --data rows.jsonl", "has 1 experiments"],
  ])("refuses %s %s", async (script, line, message) => {
    const { code, err } = await run(script, line);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { reconstruct } from "../../src/data/denoising.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { denoisedBatches, denoisingTokens, parseDenoisers } from "../../src/train/batches/denoisers.ts";
import { runScript } from "../support/command.ts";

const CHOSEN = { denoisers: "R,S,X", sentinels: 100, sentinels_from: undefined, mode_tokens: true };

describe("which denoisers, and which ids", () => {
  test("as many of a mode as it has, or its share divided among them", () => {
    const counts = (text: string) =>
      Object.fromEntries(
        [...Map.groupBy(parseDenoisers(text), ({ mode }) => mode)].map(([mode, of]) => [
          mode,
          of.reduce((sum, { share }) => sum + share, 0),
        ]),
      );
    expect(counts("R,S,X")).toEqual({ R: 2, S: 1, X: 4 });
    expect(counts("r=0.5, S")).toEqual({ R: 0.5, S: 1 });
    expect(() => parseDenoisers("Q")).toThrow("there is no mode Q");
    expect(() => parseDenoisers("R,R=2")).toThrow("names R twice");
    expect(() => parseDenoisers("R=0")).toThrow("the share of R is 0");
  });

  test("ids that are given, named by the tokenizer, or left free by it", () => {
    expect(denoisingTokens({ ...CHOSEN, sentinels: 3, sentinels_from: 16 }, undefined, 22)).toEqual({
      sentinels: [16, 17, 18],
      modes: { R: 19, S: 20, X: 21 },
      end: undefined,
    });
    const bytes = byteTokenizer();
    const free = denoisingTokens(CHOSEN, bytes, 272);
    expect(free).toEqual({
      sentinels: [259, 260, 261, 262, 263, 264, 265, 266, 267, 268],
      modes: { R: 269, S: 270, X: 271 },
      end: 258,
    });
    const names = ["<extra_id_0>", "<extra_id_1>", "[R]", "[S]", "[X]"];
    const named = (known: readonly string[]) => ({
      ...bytes,
      idOf: (token: string) => (known.includes(token) ? 300 + names.indexOf(token) : undefined),
    });
    expect(denoisingTokens(CHOSEN, named(names), 400)).toEqual({
      sentinels: [300, 301],
      modes: { R: 302, S: 303, X: 304 },
      end: 258,
    });
    expect(() => denoisingTokens(CHOSEN, named(names.slice(0, 2)), 400)).toThrow("and no [R]");
    expect(denoisingTokens({ ...CHOSEN, mode_tokens: false }, named(names.slice(0, 2)), 400).modes).toBeUndefined();
    expect(() => denoisingTokens(CHOSEN, undefined, 400)).toThrow("rows of ids say none");
    expect(() => denoisingTokens(CHOSEN, bytes, 262)).toThrow("the model's vocabulary is 262");
  });
});

describe("batches", () => {
  const sequences: Sequence[] = Array.from({ length: 40 }, (_, row) => {
    const ids = Int32Array.from({ length: 30 + (row % 5) }, (_, i) => (row + i) % 16);
    return { ids, labels: ids, group: 0, place: "one line" };
  });
  const group = {
    name: "rows",
    rows: 40,
    sequences: 40,
    tokens: 1280,
    counted: 1240,
    lengths: Int32Array.from(sequences, ({ ids }) => ids.length),
  };
  const source = (batchSize: number) => sequenceBatches({ sequences, groups: [group] }, { batchSize, seed: 1 });
  const tokens = denoisingTokens({ ...CHOSEN, sentinels_from: 16 }, undefined, 200);
  const made = (batchSize: number, seed: number) =>
    denoisedBatches(source(batchSize), { denoisers: parseDenoisers("R,S,X"), tokens }, { seed, pad: 0 });
  const read = async (batchSize: number, seed: number, count: number) => {
    const [from, plain, rows] = [made(batchSize, seed), source(batchSize), new Map<string, string>()];
    const modes = new Set<number>();
    for (let i = 0; i < count; i++) {
      const [{ batch, epoch }, { batch: before }] = [await from.next(), await plain.next()];
      for (const [row, { sequence }] of batch.documents.entries()) {
        const text = before.documents[row]!.sequence;
        const start = sequence.labels.findIndex((label) => label >= 0);
        expect(reconstruct({ ids: sequence.ids, start }, tokens)).toEqual([...text.ids]);
        expect(sequence.ids.length).toBeLessThanOrEqual(from.largest().length);
        modes.add(sequence.ids[0]!);
        rows.set(`${epoch} ${sequences.indexOf(text)}`, sequence.ids.join());
      }
    }
    return { rows, modes };
  };

  test("each row's task follows from seed, epoch and row, not from batches", async () => {
    const [a, b, other] = [await read(8, 3, 10), await read(4, 3, 20), await read(8, 4, 5)];
    expect([...a.modes].sort()).toEqual([116, 117, 118]);
    expect(Object.fromEntries(a.rows)).toEqual(Object.fromEntries(b.rows));
    const same = (other: (key: string) => string | undefined) => {
      const first = [...a.rows].filter(([key]) => key.startsWith("0 "));
      return first.filter(([key, ids]) => other(key) === ids).length;
    };
    expect(same((key) => other.rows.get(key))).toBeLessThan(15); // S leaves no choice
    expect(same((key) => a.rows.get(key.replace("0 ", "1 ")))).toBeLessThan(15);
  });
});

describe("the script", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-denoise-"));
  const config = {
    model_type: "llama",
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  const run = (options: string) => runScript("train", options.split(" "), folder);
  beforeAll(() => {
    const write = (name: string, value: object) => writeFileSync(join(folder, name), JSON.stringify(value));
    write("config.json", { ...config, vocab_size: 48, max_position_embeddings: 32 });
    const rows = Array.from({ length: 12 }, (_, row) => ({
      input_ids: Array.from({ length: 20 }, (_, i) => (row * i) % 16),
    }));
    writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    writeFileSync(join(folder, "asked.jsonl"), JSON.stringify({ input_ids: [1, 2, 3, 4], labels: [-100, -100, 3, 4] }));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("learns tasks, and tells the held-out loss of each mode", async () => {
    const given = "--init config.json --data rows.jsonl --eval-data texts=rows.jsonl --steps 3 --save-every 0 --json";
    const {
      code: exitCode,
      text: stdout,
      err: stderr,
    } = await run(`${given} --denoisers R,S,X --sentinels-from 16 --sentinels 12 -o made`);
    expect(stderr).toContain("held out: texts.R 12 rows; texts.S 12 rows; texts.X 12 rows");
    expect(exitCode).toBe(0);
    const result = JSON.parse(stdout);
    for (const mode of ["R", "S", "X"]) expect(result[`held_out_loss.texts.${mode}`]).toBeGreaterThan(0);
    expect(JSON.parse(readFileSync(join(folder, "made/config.json"), "utf8")).vocab_size).toBe(48);
  });

  test.each([
    ["--data rows.jsonl --denoisers R", "rows of ids say none"],
    ["--data rows.jsonl --denoisers R --sentinels-from 40 --sentinels 20", "the model's vocabulary is 48"],
    ["--data rows.jsonl --denoisers X --sentinels-from 16 --sentinels 3", "rows.jsonl:1: X leaves 4 gaps in 20 tokens"],
    [
      "--data asked.jsonl --denoisers R --sentinels-from 16 --sentinels 9",
      "asked.jsonl:1: --denoisers is for texts, and this row has a prompt",
    ],
    ["--data rows.jsonl --denoisers R --sentinels-from 16 --sentinels 9 --pack", "--pack fills rows"],
    ["--data rows.jsonl --sentinels 9", "--sentinels has no effect without --denoisers"],
  ])("refuses %s", async (options, message) => {
    const { code: exitCode, err: stderr } = await run(`--init config.json ${options} --steps 1 -o refused`);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TokenBatch } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { sequenceBatches } from "../../src/run/training/batch-source.ts";
import { chainedBatches, continued, type LogitsAt } from "../../src/train/batches/chain-forward.ts";
import { runScript } from "../support/command.ts";

const V = 50;
const sequences: Sequence[] = Array.from({ length: 9 }, (_, row) => {
  const ids = Int32Array.from({ length: row === 8 ? 3 : 10 + row }, (_, i) => (row + i) % 20);
  const labels = row % 2 === 0 ? ids : ids.map((id, i) => (i < 4 ? -100 : id)); // some rows have a prompt
  return { ids, labels, group: 0, place: `rows:${row}` };
});
const group = {
  name: "rows",
  rows: 9,
  sequences: 9,
  tokens: 1,
  counted: 1,
  lengths: Int32Array.from(sequences, ({ ids }) => ids.length),
};
const source = () => sequenceBatches({ sequences, groups: [group] }, { batchSize: 3, seed: 1 });
const OPTIONS = { times: 3, every: 2, by: "greedy", seed: 5, pad: 0 } as const;

/** Says 30 more than the token at a place, and remembers what it was asked. */
function oracle() {
  const asked: { batch: TokenBatch; places: Int32Array }[] = [];
  const logitsAt: LogitsAt = async (batch, places) => {
    asked.push({ batch, places });
    const logits = new Float32Array(places.length * V);
    for (const [row, place] of places.entries()) logits[row * V + ((batch.ids[place]! % 20) + 30)] = 9;
    return logits;
  };
  return { asked, logitsAt };
}

/** Rows of a batch: what was written, where, and what counts. */
const rowsOf = (batch: TokenBatch) =>
  batch.documents.map(({ sequence: { ids, labels, place } }) => ({
    place,
    written: [...ids.entries()].filter(([, id]) => id >= 30),
    first: labels.findIndex((label, i) => i > 0 && label >= 0),
    ids: [...ids],
  }));

describe("chains", () => {
  test("every second batch comes three times, with one more token of the model's own in every row", async () => {
    const { asked, logitsAt } = oracle();
    const [made, plain] = [chainedBatches(source(), logitsAt, OPTIONS), source()];
    for (const lengths of [[1], [3], [1], [3]]) {
      const { batch: expected } = await plain.next();
      for (let time = 0; time < lengths[0]!; time++) {
        const { batch } = await made.next();
        expect(batch.length).toBe(expected.length);
        for (const [i, { place, written, first, ids }] of rowsOf(batch).entries()) {
          const { ids: before, labels } = expected.documents[i]!.sequence;
          const isShort = place === "rows:8" && before.length < 4;
          expect(written.length).toBe(isShort ? 0 : time);
          if (written.length === 0) continue;
          const cut = written[0]![0];
          expect(cut).toBeGreaterThanOrEqual(labels.findIndex((label, at) => at > 0 && label >= 0));
          expect(written.map(([at]) => at)).toEqual(written.map((_, n) => cut + n));
          // What counts begins behind it, and something does.
          expect(first).toBe(cut + time);
          // Each was drawn behind what stood before it then.
          for (const [at, id] of written) expect(id).toBe((ids[at - 1]! % 20) + 30);
          for (const [at, id] of before.entries()) if (ids[at]! < 30) expect(ids[at]).toBe(id);
        }
      }
    }
    expect(asked.length).toBe(4);
  });

  test("once in a row is training as it was", async () => {
    const { asked, logitsAt } = oracle();
    const plain = source();
    expect(chainedBatches(plain, logitsAt, { ...OPTIONS, times: 1 })).toBe(plain);
    expect(asked).toEqual([]);
  });

  test("a run that resumes goes on within a chain", async () => {
    const whole = chainedBatches(source(), oracle().logitsAt, OPTIONS);
    for (let i = 0; i < 3; i++) await whole.next(); // the second of three
    const saved = JSON.parse(JSON.stringify(whole.state()));
    const after = chainedBatches(source(), oracle().logitsAt, OPTIONS);
    after.load(saved, "state.json");
    for (let i = 0; i < 4; i++) expect((await after.next()).batch).toEqual((await whole.next()).batch);
    expect(() =>
      after.load({ ...saved, chain: { ...saved.chain, rows: [{ index: 99, written: [] }] } }, "state.json"),
    ).toThrow("how its chain goes on");
  });

  test("drawn tokens differ from row to row, and follow from the seed", async () => {
    const flat: LogitsAt = async (_, places) => new Float32Array(places.length * V);
    const written = async (seed: number) => {
      const made = chainedBatches(source(), flat, { ...OPTIONS, by: "sampled", seed });
      for (let i = 0; i < 3; i++) await made.next();
      return (await made.next()).batch.ids.join();
    };
    expect(await written(1)).toBe(await written(1));
    expect(await written(1)).not.toBe(await written(2));
    const [row] = sequences;
    expect(continued(row!, undefined, [])).toBe(row!);
  });
});

describe("the script", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-chain-"));
  const run = (line: string) => runScript("train", line.split(" "), folder);
  beforeAll(() => {
    const shape = { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 };
    writeFileSync(
      join(folder, "net.json"),
      JSON.stringify({ model_type: "llama", ...shape, vocab_size: 20, max_position_embeddings: 32 }),
    );
    const rows = sequences.map(({ ids }) => JSON.stringify({ input_ids: [...ids] }));
    writeFileSync(join(folder, "rows.jsonl"), rows.join("\n"));
    writeFileSync(
      join(folder, "mlp.json"),
      JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [3], num_labels: 2 }),
    );
    writeFileSync(join(folder, "points.jsonl"), JSON.stringify({ x: [1, 2], label: 1 }));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("k = 1 gives the bytes of plain training, k = 3 others", async () => {
    const common = "--init net.json --data rows.jsonl --batch-size 3 --lr 1e-2 --steps 6 --save-every 0 -q";
    for (const [name, more] of [
      ["plain", ""],
      ["once", " --chain-forward 1"],
      ["thrice", " --chain-forward 3 --chain-every 2"],
    ] as const)
      expect((await run(`${common}${more} -o ${name}/`)).err).toBe("");
    const weights = async (name: string) => {
      const text = await Bun.file(join(folder, name, "model.safetensors")).bytes();
      const header = Number(new DataView(text.buffer).getBigUint64(0, true));
      return Bun.hash(text.subarray(8 + header));
    };
    expect(await weights("once")).toBe(await weights("plain"));
    expect(await weights("thrice")).not.toBe(await weights("plain"));
  });

  test.each([
    ["--init mlp.json --data points.jsonl --chain-forward 2", "--chain-forward is for language models"],
    ["--init net.json --data rows.jsonl --chain-forward 2 --pack", "--chain-forward and --pack both say"],
    ["--init net.json --data rows.jsonl --chain-every 2", "--chain-every has no effect without --chain-forward"],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await run(`${line} --steps 1 -o no/`);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});

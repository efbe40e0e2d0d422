import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import { Model } from "../../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../../src/run/batch-programs.ts";
import { Programs } from "../../../src/run/programs.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const [BINS, LENGTH, PROMPT, HELD] = [16, 32, 10, 100];

/** A swing of some period and phase in bins, and what is seen of it: one bin off now and then. */
function swing(seed: number, row: number) {
  const random = new Random("swing", seed, row);
  const [period, phase] = [6 + 6 * random.uniform(), random.uniform()];
  const clean = Array.from({ length: LENGTH }, (_, t) =>
    Math.round(((BINS - 1) / 2) * (1 + Math.sin(2 * Math.PI * (t / period + phase)))),
  );
  const seen = clean.map((bin) => {
    const off = random.uniform() < 0.15 ? random.pick([-1, 1]) : 0;
    return Math.min(BINS - 1, Math.max(0, bin + off));
  });
  return { clean, seen };
}

/** Mean distance in bins, from the swing, of what a model writes behind prompts, each time its likeliest token. */
async function rolloutError(folder: string, rows: readonly ReturnType<typeof swing>[]): Promise<number> {
  const checkpoint = await open(join(folder, "out"));
  const model = await Model.load(await sharedGpu(), checkpoint, { freeze: () => true });
  const programs = new Programs(model.gpu);
  const written = rows.map(({ seen }) => seen.slice(0, PROMPT));
  for (let t = PROMPT; t < LENGTH; t++) {
    const bins = written.map((ids, i) => {
      const filled = Int32Array.from({ length: LENGTH }, (_, at) => ids[at] ?? 0);
      return [{ ids: filled, labels: filled, group: 0, place: `${i}` }];
    });
    const batch = collate(bins, { buckets: "none" });
    const { program } = await programs.get("all", (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      rec.output("logits", head(hidden));
    });
    fillInputs(program, batch);
    program.run();
    const logits = await program.read("logits");
    for (const [row, ids] of written.entries()) {
      const own = logits.subarray((row * LENGTH + t - 1) * BINS, (row * LENGTH + t) * BINS);
      ids.push(own.indexOf(own.reduce((a, b) => Math.max(a, b))));
    }
  }
  programs.free();
  model.free();
  checkpoint.close();
  let sum = 0;
  for (const [row, ids] of written.entries())
    for (let t = PROMPT; t < LENGTH; t++) sum += Math.abs(ids[t]! - rows[row]!.clean[t]!);
  return sum / rows.length / (LENGTH - PROMPT);
}

const WAYS = { "training as it is": "", "chains of four": "--chain-forward 4 --chain-every 2" } as const;

export const experiment = experimentOf({
  title: "Chains of the model's own tokens: `train --chain-forward`",
  about: `Swings of periods of 6 to 12 steps in ${BINS} bins, of which 15 % are seen one bin off, ${LENGTH} steps each. A decoder of two layers of 32, AdamW at
4e-3, 800 steps of 16 rows; chains of four at every second batch, so that as many steps see fewer rows. *Written on*: mean distance in bins from the swing over ${LENGTH - PROMPT} steps that
the model writes behind ${PROMPT} seen ones, ${HELD} rows. *One step*: held-out loss of the next symbol.
Against the paper, what is written on is further from the swing with chains on all three seeds: at equal steps they see three fifths fewer rows.
That drawn tokens are learned, and the likeliest written, may add to it.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "written on, training as it is": {},
    "written on, chains of four": {},
    "one step, training as it is": {},
    "one step, chains of four": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const swings = (count: number, from: number) => Array.from({ length: count }, (_, i) => swing(seed, from + i));
      const rowsOf = (all: readonly ReturnType<typeof swing>[]) => all.map(({ seen }) => ({ input_ids: seen }));
      const held = swings(HELD, 100_000);
      const [data, test] = [lab.rows("rows", rowsOf(swings(3000, 0))), lab.rows("held", rowsOf(held))];
      const shape = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4 };
      const net = { ...decoder(), ...shape, num_key_value_heads: 4, vocab_size: BINS };
      const figures: Record<string, number> = {};
      for (const [name, options] of Object.entries(WAYS)) {
        const line = `${lab.fresh(net)} --data ${data} --steps 800 --batch-size 16 --lr 4e-3 --warmup 40 --clip 1 ${options}`;
        await run("train", `${line} --seed ${seed} --save-every 0 --overwrite -q -o out/`);
        const text = await run("evaluate", `out/ --data held=${test} --metric loss --json`);
        figures[`one step, ${name}`] = (JSON.parse(text) as { rows: [{ value: number }] }).rows[0].value;
        figures[`written on, ${name}`] = await rolloutError(lab.folder, held);
      }
      return figures;
    }),
});

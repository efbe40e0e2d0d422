import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readRun, sensitivities } from "../../../src/evaluate/lr-sensitivity.ts";
import { runScript } from "../../support/command.ts";
import { decoder, inLab, Language } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 80;
const RATES = [1e-2, 1e-1, 1];
/** What scores and values are looked at: the highest rate that Llama's placement bears without norms of q and k. */
const HIGH = 1e-1;
const ROWS: Readonly<Record<string, object>> = {
  pre: { norm_placement: "pre" },
  "pre, norms of q and k": { norm_placement: "pre", qk_norm: true },
  post: { norm_placement: "post" },
  peri: { norm_placement: "peri" },
};
const COLUMNS = [
  "best loss above the least",
  "best rate",
  "sensitivity to the rate",
  "largest score, rate 0.1",
  "mean square of log Z, rate 0.1",
  "growth of variance, rate 0.1",
  "largest over median value, rate 0.1",
  "spread of gradients over layers, rate 0.1",
];
const bounds: Readonly<Record<string, Bound>> = {
  "pre: best loss above the least": { below: 0.5 },
  "peri: best loss above the least": { below: 0.5 },
  "pre: growth of variance, rate 0.1": { above: 10_000 },
  "peri: growth of variance, rate 0.1": { below: 1000 },
  "pre: largest score, rate 0.1": { above: 150 },
  "pre, norms of q and k: largest score, rate 0.1": { below: 40 },
};

interface Line {
  readonly event: string;
  readonly probe: string;
}

export const experiment: Experiment = {
  title: "Where norms stand, and norms of queries and keys, over learning rates",
  about: `A language of 24 symbols whose best possible loss is known, decoders of three layers of width 32 that differ in their norms alone (\`norm_decoder\`),
${STEPS} steps of 16 rows of 16 symbols by AdamW, clipped at 1, a cosine after 10 steps of warm-up, at rates of 0.01, 0.1 and 1. Losses are of 200 held-out
rows. *Sensitivity* is the mean over rates of what each loses to the best, no more than the loss at the start. Scores of attention are the largest that \`--probe logits\` saw,
the other figures of \`--probe logits,activations\` those of the last step. Wortsman et al. 2023 expect norms of queries and keys to hold scores down and
to make trainings less sensitive, Kim et al. 2025 that the variance of states grows less with peri than with pre.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(ROWS)
      .flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`))
      .map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const language = new Language({ seed, size: 24, sharpness: 5 });
      const held = language.rows(200, 1000 + seed);
      const least = language.least(held);
      const [data, test] = [lab.rows("rows", language.rows(2000, seed)), lab.rows("held", held)];
      const figures: Record<string, number> = {};
      for (const [row, config] of Object.entries(ROWS)) {
        const sizes = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 3, vocab_size: 24 };
        const net = lab.fresh({ ...decoder(sizes), model_type: "norm_decoder", ...config });
        const logs: string[] = [];
        for (const rate of RATES) {
          const log = `${row.replaceAll(/\W+/g, "-")}-${rate}.log`;
          const line = `${net} --data ${data} --eval-data ${test} --steps ${STEPS} --batch-size 16 --lr ${rate} --warmup 10 --clip 1 --weight-decay 0 --seed ${seed}`;
          const probe = `--probe logits,activations --probe-every ${STEPS / 2} --save-every 0 --log ${log} --overwrite -q -o out/`;
          await runScript("train", `${line} ${probe}`.split(/ +/), lab.folder); // one that breaks off says so in its log
          logs.push(join(lab.folder, log));
        }
        const [found] = sensitivities(await Promise.all(logs.map(readRun)));
        const high = logs[RATES.indexOf(HIGH)]!;
        const seen = readFileSync(high, "utf8")
          .trimEnd()
          .split("\n")
          .map((one): Line & Record<string, number> => JSON.parse(one))
          .filter(({ event }) => event === "probe");
        const last = (probe: string) => seen.findLast((one) => one.probe === probe)!;
        const of = { logits: last("logits"), activations: last("activations") };
        const values = [
          ...[found!.best_loss - least, found!.best_rate, found!.sensitivity],
          found!.rates.find(({ rate }) => rate === HIGH)!.score!,
          ...[of.logits.log_z_square!, of.activations.variance_growth!, of.activations.massive!],
          of.activations.gradient_spread!,
        ];
        for (const [i, column] of COLUMNS.entries()) figures[`${row}: ${column}`] = values[i]!;
      }
      return figures;
    }),
};

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { CONFIG, changed, rowsOf, shuffled } from "../merge-experts.ts";
import { uniform } from "../support.ts";

/** Symbols in which each part's language differs from the one that counts. */
const PARTS = [2, 4, 6, 9, 11, 14];

async function run(lab: Lab, script: string, line: string): Promise<void> {
  const { code, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
}

interface Found {
  readonly mixtures: readonly { parts: string[]; loss: number }[];
  readonly calibration: { spearman: number; bias: number; pairs: { parts: string[]; trained: number }[] };
}

export const experiment = experimentOf({
  title: "Averages of models foretell which data to train on (mix-proxy)",
  about: `Six parts of a corpus, whose languages differ from the one that counts in 2 to 14 of 16 symbols. \`curriculum mixture-search\` trains one
base on each part (60 steps), ranks all 63 mixtures by the average of their models, and trains on all 15 pairs (120 steps) to say how alike the
ranks are. The paper asks for a rank correlation above 0.7.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "rank correlation over pairs": { above: 0.7 },
    "average − training, mean of the pairs": {},
    "training on the pair that averages choose − on the best pair": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const next = uniform(seed);
      const wanted = shuffled(next);
      lab.rows("held", rowsOf(wanted, 0, 96, 1000 * seed));
      lab.rows("common", rowsOf(changed(wanted, next, 8), 0, 200, 1000 * seed + 1));
      for (const [i, symbols] of PARTS.entries())
        lab.rows(`part${i}`, rowsOf(changed(wanted, next, symbols), 0, 200, 1000 * seed + 10 + i));
      const usual = `--batch-size 16 --seed ${seed}`;
      const fresh = `${lab.fresh(CONFIG)} --data common.jsonl ${usual} --warmup 5 --save-every 0`;
      await run(lab, "train", `${fresh} --lr 0.01 --steps 60 -o base.safetensors`);
      const data = PARTS.map((_, i) => `--data part${i}=part${i}.jsonl`).join(" ");
      const search = `mixture-search base.safetensors ${data} --eval-data held.jsonl ${usual} --lr 0.003 --part-steps 60`;
      await run(lab, "curriculum", `${search} --mixtures all --calibrate 15 -o found.json`);
      const { mixtures, calibration } = JSON.parse(readFileSync(join(lab.folder, "found.json"), "utf8")) as Found;
      const chosen = mixtures.find(({ parts }) => parts.length === 2)!.parts.join();
      const trained = calibration.pairs.map((pair) => pair.trained);
      return {
        "rank correlation over pairs": calibration.spearman,
        "average − training, mean of the pairs": calibration.bias,
        "training on the pair that averages choose − on the best pair":
          calibration.pairs.find(({ parts }) => parts.join() === chosen)!.trained - Math.min(...trained),
      };
    }),
});

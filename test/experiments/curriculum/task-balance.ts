import { taskWeights } from "../../../src/curriculum/task-weights.ts";
import { decoder, inLab, Language, type Row } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const TASKS = ["part", "whole", "other"];

export const experiment = experimentOf({
  title: "`task-balance` where rows of one task are half of another one's",
  about: `"Whole" rows hold a row of "part" and one of a second language; "other" is a third. Scores after 25 rows of each task, and of
400 of one with 25 of the others, four epochs each. A contribution is the share of what its own rows give a task.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "contribution of whole to part": {},
    "contribution of other to part": {},
    "whole's − other's": { above: 0.2 },
    "weight of whole − the largest other": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const from = 1000 * (seed - 1);
      const [a, b, c] = [0, 1, 2].map(
        (i) => new Language({ seed: from + 10 + i, size: 16, sharpness: 12, first: 16 * i }),
      ) as [Language, Language, Language];
      const both = (count: number, at: number): Row[] => {
        const second = b.rows(count, at + 7, { length: 8 });
        return a.rows(count, at, { length: 8 }).map((row, i) => ({
          input_ids: [...row.input_ids, ...second[i]!.input_ids],
          labels: [...row.labels, ...second[i]!.labels],
        }));
      };
      const rows = ([part, whole, other]: readonly number[], at: number) => ({
        part: a.rows(part!, from + at),
        whole: both(whole!, from + at + 1),
        other: c.rows(other!, from + at + 2),
      });
      const known = rows([32, 32, 32], 150);
      /** Mean likelihood of a token of every task, higher is better. */
      const scores = async (counts: readonly number[]) => {
        const line = `--batch-size 16 --lr 0.01 --warmup 10 --epochs 4 --seed ${seed} --method static`;
        const { losses } = await lab.run(`${lab.fresh(decoder())} ${lab.groups(rows(counts, 100), known)} ${line}`);
        return TASKS.map((name) => Math.exp(-losses[name]!));
      };
      const mini = await scores([25, 25, 25]);
      const full = [await scores([400, 25, 25]), await scores([25, 400, 25]), await scores([25, 25, 400])];
      const { contribution, weights } = taskWeights(mini, full);
      const [whole, other] = [contribution[1]![0]!, contribution[2]![0]!];
      return {
        "contribution of whole to part": whole,
        "contribution of other to part": other,
        "whole's − other's": whole - other,
        "weight of whole − the largest other": weights[1]! - Math.max(weights[0]!, weights[2]!),
      };
    }),
});

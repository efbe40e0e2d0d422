import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LARGE = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4 };
const ROUND = 8;
const ROUNDS = 12;
const FIXED = [0, 0.25, 0.5, 0.75, 1];

export const experiment = experimentOf({
  title: "`mix-agent`: learnt on a small decoder, used on a larger one",
  about: `A language that the model knows (240 steps) and a new one, over the same 16 symbols, 300 rows each. 24 trainings of a decoder of one
layer, 12 rounds of 8 steps of 16 rows; the agent then chooses the mixtures of one of two layers and twice the width, 96 steps. Sums of
both held-out losses at the end, and the loss of the old language; fixed shares of the new one are 0, 1/4, 1/2, 3/4 and 1. The agent's sum
is above that of half and half; a lead below 0 says that no fixed share has less of both losses than it.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "the best fixed share": {},
    "sum of losses with it": {},
    "agent − the best fixed share": {},
    "agent − half and half": {},
    "old loss, new rows alone − agent": { above: 0.1 },
    "largest lead of a fixed share in both losses at once": { below: 0.05 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const from = 1000 * seed;
      const [old, other] = [0, 1].map((i) => new Language({ seed: from + i, size: 16, sharpness: 10 })) as [
        Language,
        Language,
      ];
      const data = lab.groups(
        { old: old.rows(300, from + 10), new: other.rows(300, from + 11) },
        { old: old.rows(24, from + 12), new: other.rows(24, from + 13) },
      );
      const line = "--batch-size 16 --lr 0.01 --schedule constant";
      const known = lab.rows("known", old.rows(600, from + 14));
      for (const [name, config] of [
        ["small", decoder()],
        ["large", decoder(LARGE)],
      ] as const)
        await lab.script("train", `${lab.fresh(config, name)} --data ${known} ${line} --steps 240 -o ${name}-base/`);
      const tried = `--new-groups new --trajectories 24 --rounds ${ROUNDS} --round-steps ${ROUND} --seed ${seed}`;
      await lab.script("curriculum", `mix-agent collect small-base/ ${data} ${line} ${tried} -o tried.jsonl`);
      await lab.script("curriculum", `mix-agent fit tried.jsonl --hidden 32 --seed ${seed} -o agent.json`);
      const run = async (method: string) => {
        const { losses } = await lab.run(
          `large-base/ ${data} ${line} --steps ${ROUND * ROUNDS} --seed ${seed} --method ${method}`,
        );
        return { old: losses.old!, sum: losses.old! + losses.new!, new: losses.new! };
      };
      const fixed: Awaited<ReturnType<typeof run>>[] = [];
      for (const share of FIXED) fixed.push(await run(`static --mixture ${1 - share},${share}`));
      const agent = await run(`mix-agent --agent agent.json --new-groups new --every ${ROUND}`);
      const best = fixed.reduce((a, b) => (b.sum < a.sum ? b : a));
      // How far the agent is from being as good as each fixed share in one of both losses.
      const front = Math.max(...fixed.map((each) => Math.min(agent.old - each.old, agent.new - each.new)));
      return {
        "the best fixed share": FIXED[fixed.indexOf(best)]!,
        "sum of losses with it": best.sum,
        "agent − the best fixed share": agent.sum - best.sum,
        "agent − half and half": agent.sum - fixed[2]!.sum,
        "old loss, new rows alone − agent": fixed[4]!.old - agent.old,
        "largest lead of a fixed share in both losses at once": front,
      };
    }),
});

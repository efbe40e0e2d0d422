import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

interface Tested {
  readonly policies: readonly { readonly policy: string; readonly worst_excess: number }[];
}

export const experiment = experimentOf({
  title: "`query`: the best of ten items with twenty answers",
  about: `Ten items, each with a chance of a yes, and twenty answers; what counts is how often a wrong item is named. Classes of problems have
sum 1 / gap^2 of at most 12, 20, 40 and 100. The policy over classes, one learnt on the mean of problems that are drawn (at most 100), and
asking of all in turn, each on the problems that climb against any of the three; excess is over the least of what any policy loses on the
worst problem of a class, those of single classes among them. 200 steps of 72 games for each policy.`,
  seeds: [1, 2],
  tested: 1,
  long: true,
  figures: {
    "worst excess, over classes": {},
    "worst excess, mean of drawn problems": {},
    "worst excess, in turn": {},
    "in turn − over classes": { above: 0.02 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const line = `--seed ${seed}`;
      for (const over of ["classes", "average"])
        await lab.script("curriculum", `query fit --over ${over} ${line} -o ${over}.safetensors`);
      const text = await lab.script("curriculum", `query test classes.safetensors average.safetensors ${line}`);
      const [classes, average, turn] = (JSON.parse(text) as Tested).policies.map((each) => each.worst_excess);
      return {
        "worst excess, over classes": classes!,
        "worst excess, mean of drawn problems": average!,
        "worst excess, in turn": turn!,
        "in turn − over classes": turn! - classes!,
      };
    }),
});

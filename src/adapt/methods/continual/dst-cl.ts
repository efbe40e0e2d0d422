/**
 * Dynamic sparse training for continual learning: each task has a sparse sub-network, whose places move while it
 * learns; what a task has learnt stays as it is, and later tasks may have it among theirs.
 *
 *   mask M_t of density D over all places; trained are those of M_t that no earlier task has
 *   every `update_every` steps the smallest of these, f0 / 2 (1 + cos(pi t / end)) of them, move (sparsity/regrow.ts)
 *
 * Yildirim et al. 2023, https://arxiv.org/abs/2308.14831. A task's weights begin as the model began, moved ones at 0.
 * The task of a row is known where it is scored. What is not in a linear layer is each task's own: it goes on from the
 * task before.
 */
import { UserError } from "../../../errors.ts";
import { layerCounts, SPARSITY } from "../../../run/sparsity/densities.ts";
import { SparseTraining } from "../../../run/training/rules/sparse-training.ts";
import { continualMethod, type Measuring, type TaskScore } from "../../continual/contract.ts";
import { TaskNetworks } from "../../continual/task-networks.ts";

/** Share of a stage's steps after which masks stay. */
const MOVING = 0.75;

export const method = continualMethod({
  name: "dst-cl",
  title: "Dynamic sparse training",
  about: "a sparse sub-network for each task, which is known when it is scored; what was learnt stays to the bit",
  cite: "arXiv:2308.14831",
  options: {
    ...SPARSITY,
    drop_fraction: {
      type: "0 <= number <= 1",
      default: 0.3,
      value: "F",
      help: "share of a task's own weights that move at first; 0: places stay",
    },
    update_every: { type: "number.integer >= 1", default: 100, value: "N", help: "steps from move to move" },
  },
  begin(stream) {
    const { gpu, model, tasks, values, seed, dry, scenario } = stream;
    if (scenario === "class")
      throw new UserError(
        "dst-cl scores each task by its own sub-network, and with --scenario class nobody says which task a row is of",
        "take --scenario task, or a method with one network",
      );
    const networks = new TaskNetworks(model, tasks.length);
    if (networks.layers.length === 0)
      throw new UserError("dst-cl masks linear layers, and none is trained", "train some, or take er");
    const shapes = networks.layers.map(({ parameter: { shape } }) => shape);
    const counts = layerCounts(shapes, values.density, values.sparsity_init);
    let done = 0;
    const drawn = async (index: number) => {
      for (const [l, { parameter, mask, taken, fired }] of networks.layers.entries()) {
        mask.draw(counts[l]!, seed, "mask", index, parameter.name);
        fired.words.set(mask.words);
        fired.add(taken);
      }
      await networks.begin();
    };
    return {
      stage({ index }) {
        let end = 0;
        const rule = new SparseTraining(gpu, networks.layers, {
          ...{ name: "sparse", grow: values.grow, share: values.drop_fraction, every: values.update_every, seed },
          until: () => end,
          begin: () => drawn(index),
        });
        return {
          updates: [rule],
          planned(steps) {
            end = MOVING * steps;
          },
        };
      },
      async learned({ index, name }) {
        if (dry) return;
        await networks.keep(index);
        done = index + 1;
        const { weights, all } = networks.counts(index);
        stream.info(`${name} has ${weights} weights of linear layers; all tasks together have ${all}`);
      },
      measure: (measuring) => scored(networks, done, measuring),
      results: () => ({
        what: "tasks",
        each: tasks.slice(0, done).map(({ index }) => ({ name: `${index}`, wear: () => networks.wear(index) })),
      }),
      tells: () => ({ weights: tasks.slice(0, done).map(({ index }) => networks.counts(index).weights) }),
      state: () => ({ done }),
      load(state) {
        done = (state as { done?: number } | null)?.done ?? 0;
      },
      kept: () => networks.kept,
      memory: () => ({ networks: networks.bytes }),
      free: () => networks.free(),
    };
  },
});

/** Every task that is over by its own sub-network, those to come by the last one. */
async function scored(networks: TaskNetworks, done: number, { tasks, score }: Measuring): Promise<TaskScore[]> {
  if (done === 0) return score(tasks);
  const scores = await score(tasks.slice(done));
  for (const [task, own] of tasks.slice(0, done).entries()) {
    await networks.wear(task);
    scores.splice(task, 0, ...(await score([own])));
  }
  // The last of them is the one that learnt last: the model is as it was.
  return scores;
}

/**
 * Whether a model forgets less by rewards of its own answers than by those of the rows: it learns the groups of data
 * one after the other in both ways, and is measured on all of them after each. Lai et al. 2025,
 * https://arxiv.org/abs/2507.05386
 *
 *   average = mean over j of A[n][j],  forgetting = mean over j < n of A[n][j] - A[j][j]
 *
 * A[k][j] is the share of held-out rows of task j that are answered exactly after task k. A task ends where its own
 * share has reached a goal, so that ways are compared at like accuracy. Ways: cross-entropy of the rows' answers (sft);
 * GRPO on exact answers (rft), with the divergence from the model as it was in the reward (rft-kl), and on the rows
 * alone that the model solves in one of several attempts before each task (rft-filtered).
 *
 * Memory: the weights three times, gradients, and the optimizer's two states; the weights on the host.
 */
import { UserError } from "../../../errors.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { Answering, type AnsweringSetup } from "../../forgetting/answering.ts";
import { forgettingOf, learnInTurn, type Paradigm, type Samples } from "../../forgetting/paradigms.ts";
import { readTasks, type Task } from "../../forgetting/tasks.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  forgetting_paradigm_steps: { type: "number.integer >= 1", default: 100, help: "most steps of a task", value: "N" },
  forgetting_paradigm_goal: {
    type: "0 < number <= 1",
    default: 0.9,
    help: "share of right answers at which a task ends",
    value: "SHARE",
  },
  forgetting_paradigm_every: {
    type: "number.integer >= 1",
    default: 10,
    help: "steps between two looks at that share",
    value: "N",
  },
  forgetting_paradigm_lr: { type: "number > 0", default: 1e-6, help: "rate of AdamW by rewards", value: "RATE" },
  forgetting_paradigm_sft_lr: { type: "number > 0", default: 1e-5, help: "rate of AdamW by answers", value: "RATE" },
  forgetting_paradigm_batch: {
    type: "number.integer >= 1",
    default: 32,
    help: "rows, or sampled answers, of a step",
    value: "N",
  },
  forgetting_paradigm_group: { type: "number.integer >= 2", default: 8, help: "answers to each prompt", value: "G" },
  forgetting_paradigm_kl: {
    type: "number >= 0",
    default: 0.05,
    help: "weight of the divergence of rft-kl; 0 leaves it out",
    value: "BETA",
  },
  forgetting_paradigm_attempts: {
    type: "number.integer >= 0",
    default: 8,
    help: "attempts at each row before rft-filtered; 0 leaves it out",
    value: "K",
  },
  forgetting_paradigm_held: {
    type: "0 < number < 1",
    default: 0.25,
    help: "share of the rows of each group that is held out",
    value: "SHARE",
  },
  forgetting_paradigm_general: {
    type: "string",
    help: "group that is measured and not learned",
    value: "NAME",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** Answers of the model as it was to held-out rows, four to each. */
async function samplesOf({ held, name }: Task, reference: Answering): Promise<Samples> {
  const rows = held.flatMap((row) => [row, row, row, row]);
  return { rows, answers: await reference.sample(held, 4, `as it was ${name}`) };
}

async function rowsOf(checkpoint: Setup["candidates"][number], paradigms: readonly Paradigm[], setup: Setup) {
  const { values, groups, seed, signal, quantize: bits, loader } = setup;
  const loaded = await loader.load(checkpoint, { trained: true, bits });
  const before = await loader.load(checkpoint, { bits });
  const { model, tools, ref } = loaded;
  if (!tools) throw new UserError(`--probe forgetting-paradigm is for language models; ${ref} is none`);
  const all = await readTasks(groups, tools, { share: values.forgetting_paradigm_held, seed });
  const isGeneral = ({ name }: Task) => name === values.forgetting_paradigm_general;
  const tasks = all.filter((task) => !isGeneral(task));
  const { ends = [], pad = 0 } = tools.tokenizer ?? {};
  const rows = all.flatMap(({ train, held }) => [...train, ...held]);
  const maxTokens = Math.max(...rows.map(({ answer }) => answer.length));
  const longest = Math.max(...rows.map(({ prompt }) => prompt.length)) + maxTokens;
  const how: Omit<AnsweringSetup, "model"> = { ends, pad, maxTokens, seed, signal };
  const [answering, reference] = [new Answering({ ...how, model }), new Answering({ ...how, model: before.model })];
  const samples: Samples[] = [];
  for (const task of tasks) samples.push(await samplesOf(task, reference));
  const weights = new Perturbation(loader.gpu, model.trainable());
  weights.save();
  const found = [];
  for (const paradigm of paradigms) {
    const { accuracy, general, kl, steps, rollouts, gradientNorm, moved, variance, kept } = await learnInTurn(
      paradigm,
      {
        ...{
          model,
          ref,
          tasks,
          general: all.find(isGeneral),
          answering,
          reference,
          before: samples,
          ends,
          pad,
          longest,
        },
        ...{ seed, signal, batch: values.forgetting_paradigm_batch, group: values.forgetting_paradigm_group },
        ...{ steps: values.forgetting_paradigm_steps, every: values.forgetting_paradigm_every },
        ...{ goal: values.forgetting_paradigm_goal, kl: values.forgetting_paradigm_kl },
        ...{ lr: values.forgetting_paradigm_lr, sftLr: values.forgetting_paradigm_sft_lr },
        attempts: values.forgetting_paradigm_attempts,
        done: () => loader.tick(ref),
      },
    );
    weights.restore();
    found.push({
      ...{ model: ref, paradigm, ...forgettingOf(accuracy), ...(general === undefined ? {} : { general }), kl, moved },
      ...{ gradient_norm: gradientNorm, ...(variance === undefined ? {} : { reward_variance: variance }) },
      ...{ kept, steps, rollouts, accuracy },
    });
  }
  await weights.free();
  await answering.free();
  await reference.free();
  await before.free();
  await loaded.free();
  return found;
}

export const method = defineTechnique({
  name: "forgetting-paradigm",
  title: "Forgetting by paradigm",
  about: "learns the groups one after the other by their answers, and by rewards: what is forgotten in each way",
  cite: "arXiv:2507.05386",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },

  check({ values, metrics, gold, groups }) {
    if (metrics.length > 0)
      throw new UserError(
        "--metric has no effect with --probe forgetting-paradigm, which asks for answers",
        "leave it out",
      );
    if (gold)
      throw new UserError(
        "--gold has no effect with --probe forgetting-paradigm",
        "give the model as one more argument",
      );
    const { forgetting_paradigm_batch: batch, forgetting_paradigm_group: group } = values;
    if (batch % group !== 0)
      throw new UserError(
        `--forgetting-paradigm-batch ${batch} is no whole number of groups of ${group}`,
        "choose a multiple of --forgetting-paradigm-group",
      );
    const general = values.forgetting_paradigm_general;
    if (general !== undefined && !groups.includes(general))
      throw new UserError(
        `--forgetting-paradigm-general ${general}: no group has this name; the data has ${groups.join(", ")}`,
        "name groups: --data NAME=rows.jsonl",
      );
    if (groups.length === 1 && general !== undefined)
      throw new UserError("--probe forgetting-paradigm has no group to learn", "add tasks: --data NAME=rows.jsonl");
  },

  async run(setup) {
    const { values, candidates, groups, loader } = setup;
    const paradigms: Paradigm[] = [
      "sft",
      "rft",
      ...(values.forgetting_paradigm_kl > 0 ? (["rft-kl"] as const) : []),
      ...(values.forgetting_paradigm_attempts > 0 ? (["rft-filtered"] as const) : []),
    ];
    const tasks = groups.filter(({ name }) => name !== values.forgetting_paradigm_general);
    loader.begin(candidates.length * paradigms.length * tasks.length * values.forgetting_paradigm_steps, "steps");
    const rows = [];
    for (const checkpoint of candidates) rows.push(...(await rowsOf(checkpoint, paradigms, setup)));
    const header = ["model", "way", "average", "forgetting", "general", "KL", "moved", "gradient", "variance", "steps"];
    const table = rows.map((row) => [
      ...[row.model, row.paradigm, row.average, row.forgetting, row.general, row.kl, row.moved, row.gradient_norm],
      ...[row.reward_variance, row.steps.join("+"), `${row.rollouts}`],
    ]);
    return { table: [[...header, "rollouts"], ...table], json: { tasks: tasks.map(({ name }) => name), rows } };
  },
});

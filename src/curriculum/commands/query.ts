/**
 * `curriculum query`: which item to ask an answer of next, so that the best of some is found with few answers. A policy
 * is learnt from problems that are made (`fit`), chooses the next item for answers so far (`next`), and is measured on
 * the problems that are hardest for it (`test`).
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject, show } from "../../json.ts";
import { checkFile } from "../../run/small-nets/file.ts";
import type { Mlp } from "../../run/small-nets/mlp.ts";
import type { QUERY } from "../asking/options.ts";
import { type Answers, type Asker, answerOf, chancesOf, FEATURES, featuresOf, noAnswers } from "../asking/play.ts";
import { type QueryPolicy, readPolicy, savePolicy } from "../asking/policy-file.ts";
import { leastDifficulty } from "../asking/problems.ts";
import {
  averagePolicy,
  hardProblems,
  type Measuring,
  type RobustOptions,
  robustPolicy,
  worstLoss,
} from "../asking/robust.ts";

type QueryContext = Context<typeof QUERY>;

const MEASURING: Measuring = { games: 32, again: 4, last: 500 };
/** Steps that problems climb against a policy as it is, at most. */
const SEARCH = 60;

export async function query(context: QueryContext): Promise<Outcome> {
  const [part, ...args] = context.args;
  if (part === "fit") return fit({ ...context, args });
  if (part === "next") return next({ ...context, args });
  if (part === "test") return test({ ...context, args });
  throw new UserError(`query ${part} should be fit, next or test`, "fit learns a policy, and next asks by it");
}

/** Throws UserError for classes that have no problem, or are not in order. */
function difficultiesOf({ difficulties, items }: QueryContext["options"]): readonly number[] {
  const least = leastDifficulty(items);
  const given = difficulties.join(",");
  if (difficulties.length === 0 || difficulties.some((most) => !(most > least) || !Number.isFinite(most)))
    throw new UserError(
      `--difficulties ${given}: the easiest problem of ${items} items has ${least.toFixed(2)}`,
      "give numbers above that",
    );
  if (difficulties.some((most, i) => i > 0 && most <= difficulties[i - 1]!))
    throw new UserError(`--difficulties ${given} do not grow`, "give each once, the easiest first");
  return difficulties;
}

function robustOf({ options, seed, progress, signal }: QueryContext, budget: number): RobustOptions {
  return {
    ...{ items: options.items, budget, loss: options.query_loss, hidden: options.query_hidden, seed },
    ...{ steps: options.query_steps, lr: options.query_lr, particles: options.particles, games: options.games },
    ...{ climb: options.climb, eta: options.particle_eta },
    async done() {
      progress.advance(1);
      await Bun.sleep(0); // lets Ctrl-C through
      signal.throwIfAborted();
    },
  };
}

const searching = (given: RobustOptions): RobustOptions => ({ ...given, steps: Math.min(SEARCH, given.steps) });

async function fit(context: QueryContext): Promise<Outcome> {
  const { options, args, out, seed, version, progress } = context;
  if (args.length > 0) throw new UserError(`unexpected argument ${args[0]}`, "fit makes its problems itself");
  const difficulties = difficultiesOf(options);
  const given = robustOf(context, options.asks);
  const ofClasses = options.over === "classes" && difficulties.length > 1;
  const searched = searching(given).steps;
  const steps = given.steps + (ofClasses ? difficulties.length * (given.steps + searched) : 0);
  if (context.dryRun) {
    context.print(
      `${ofClasses ? difficulties.length + 1 : 1} policies, ${steps} steps of ${given.particles * given.games} games`,
    );
    context.json({ policies: ofClasses ? difficulties.length + 1 : 1, steps, games: given.particles * given.games });
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  progress.start({ total: steps, unit: "steps" });
  const hardest = difficulties.at(-1)!;
  const least: number[] = [];
  if (ofClasses)
    for (const difficulty of difficulties) {
      const own = await robustPolicy([{ difficulty, offset: 0 }], given);
      least.push(worstLoss(own, await hardProblems(own, difficulty, searching(given)), MEASURING, given));
    }
  const classes = ofClasses
    ? difficulties.map((difficulty, k) => ({ difficulty, offset: least[k]! }))
    : [{ difficulty: hardest, offset: 0 }];
  const policy = options.over === "average" ? await averagePolicy(hardest, given) : await robustPolicy(classes, given);
  progress.done();
  const lineage = lineageOf({ script: "curriculum query", version, options: context.chosen, seed }, [], (text) =>
    context.warn(text),
  );
  await savePolicy(out, { policy, budget: given.budget, difficulties, least }, lineage);
  const told = { asks: given.budget, difficulties, least };
  context.log.event("result", { value: told });
  context.json({ ...told, out });
  if (least.length > 0)
    context.info(
      `least worst loss by difficulty: ${least.map((loss, k) => `${difficulties[k]} ${loss.toFixed(3)}`).join(", ")}`,
    );
  return { output: out };
}

/** Answers so far, of the items by name. Throws UserError for others. */
async function readHistory(file: string, names: readonly string[]): Promise<Answers> {
  const answers = noAnswers(names.length);
  const hint = '{"item": "a", "reward": 1} is such a row';
  for await (const { value, place } of readJsonFile(file, { hint, flag: "--history" })) {
    const { item, reward } = isObject(value) ? value : {};
    const at = names.indexOf(String(item));
    if (at < 0) throw new UserError(`${place}: ${show(String(item))} is no item`, `--names says ${names.join(", ")}`);
    if (reward !== 0 && reward !== 1 && typeof reward !== "boolean")
      throw new UserError(`${place}: reward should be 0 or 1, found ${show(String(reward))}`, hint);
    answers.counts[at]!++;
    answers.wins[at]! += Number(reward);
  }
  return answers;
}

function namesOf({ names = [] }: QueryContext["options"]): readonly string[] {
  const all = names.flatMap((name) => name.split(","));
  if (all.length < 2) throw new UserError("next needs the names of two items or more", "--names a,b,c");
  const twice = all.find((name, i) => all.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`--names names ${twice} twice`, "name it once");
  return all;
}

/** The item to ask of, the likeliest by the policy. */
async function next(context: QueryContext): Promise<Outcome> {
  const { options, args } = context;
  if (args.length !== 1) throw new UserError("next takes one policy", "curriculum query next policy.safetensors");
  const names = namesOf(options);
  const result = textResult(context, [...args, ...(options.history === undefined ? [] : [options.history])]);
  const { policy, budget } = await readPolicy(args[0]!);
  const answers = options.history === undefined ? noAnswers(names.length) : await readHistory(options.history, names);
  const asked = answers.counts.reduce((sum, count) => sum + count, 0);
  if (asked > budget)
    throw new UserError(`there are ${asked} answers, and the policy was learnt for ${budget}`, "fit one with --asks");
  const features = new Float64Array(names.length * FEATURES);
  featuresOf(answers, budget, features);
  const chances = chancesOf(policy, features);
  const ask = asked < budget ? names[chances.indexOf(Math.max(...chances))]! : null;
  const best = names[answerOf(answers)]!;
  const told = { ask, best, asked, left: budget - asked, chances };
  context.info(ask === null ? `all is asked: ${best}` : `ask of ${ask}; the best so far is ${best}`);
  return result(JSON.stringify(told), told);
}

/** Policies on the problems that are hardest for one of them, beside asking in turn. */
async function test(context: QueryContext): Promise<Outcome> {
  const { options, args, progress } = context;
  if (args.length === 0) throw new UserError("test names no policy", "curriculum query test policy.safetensors");
  const difficulties = difficultiesOf(options);
  const result = textResult(context, args);
  const read: (QueryPolicy & { readonly ref: string })[] = [];
  for (const ref of args) read.push({ ...(await readPolicy(ref)), ref });
  const { budget } = read[0]!;
  const odd = read.find((policy) => policy.budget !== budget);
  if (odd)
    throw new UserError(`${odd.ref} asks ${odd.budget} times, ${args[0]} ${budget}`, "test those that ask alike");
  const given = searching(robustOf(context, budget));
  const askers: { readonly name: string; readonly asker: Asker }[] = [
    ...read.map(({ ref, policy }: { ref: string; policy: Mlp }) => ({ name: ref, asker: policy })),
    { name: "in turn", asker: "in turn" },
  ];
  const steps = difficulties.length * askers.length * given.steps;
  if (context.dryRun) {
    context.print(`${askers.length} policies on ${difficulties.length} classes: ${steps} steps`);
    context.json({ policies: askers.length, classes: difficulties.length, steps });
    return {};
  }
  progress.start({ total: steps, unit: "steps" });
  const problems: number[][] = [];
  const losses = askers.map(() => [] as number[]);
  for (const difficulty of difficulties) {
    // A harder class holds the problems of the easier ones.
    for (const { asker } of askers) problems.push(...(await hardProblems(asker, difficulty, given)));
    for (const [i, { asker }] of askers.entries()) losses[i]!.push(worstLoss(asker, problems, MEASURING, given));
  }
  progress.done();
  const knownLeast = (difficulty: number) =>
    read.flatMap((policy) => policy.least[policy.difficulties.indexOf(difficulty)] ?? []);
  const least = difficulties.map((difficulty, k) =>
    Math.min(...losses.map((list) => list[k]!), ...knownLeast(difficulty)),
  );
  const policies = askers.map(({ name }, i) => {
    const excess = losses[i]!.map((loss, k) => loss - least[k]!);
    return { policy: name, worst: losses[i]!, excess, worst_excess: Math.max(...excess) };
  });
  for (const { policy, worst_excess } of policies) context.info(`${policy}: worst excess ${worst_excess.toFixed(3)}`);
  const told = { difficulties, least, policies };
  return result(JSON.stringify(told, null, 2), told);
}

/** `curriculum mix-agent`: trainings under mixtures that change, and an agent that learns from them which to choose. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import { agentJson } from "../mixing-agent/agent-file.ts";
import { explored, explorer } from "../mixing-agent/explorer.ts";
import { learnAgent } from "../mixing-agent/learn.ts";
import { type FieldWeights, type Trajectory, trajectoryFrom } from "../mixing-agent/trajectories.ts";
import { MixtureController } from "../mixture-controller.ts";
import { bySize, placesOf } from "../mixture-options.ts";
import type { MIX_AGENT } from "../options.ts";
import { MixtureSource } from "../source.ts";
import { describeRuns, measure, openShortRuns } from "./open-short-runs.ts";

type AgentContext = Context<typeof MIX_AGENT>;

export async function mixAgent(context: AgentContext): Promise<Outcome> {
  const [part, ...args] = context.args;
  if (part === "collect") return collect({ ...context, args });
  if (part === "fit") return fit({ ...context, args });
  throw new UserError(`mix-agent ${part} should be collect or fit`, "collect trains, and fit learns from that");
}

/** Trainings from the same start, a line for each. */
async function collect(context: AgentContext): Promise<Outcome> {
  const { options, seed, args } = context;
  if (args.length > 1) throw new UserError(`unexpected argument ${args[1]}`, "one model at a time");
  const groups = groupsOf(options.data, "--data", options.columns);
  const evaluated = heldOutGroups(options, undefined);
  const inputs = [...groups, ...evaluated].map(({ path }) => path);
  const result = textResult(context, inputs);
  const opened = await openShortRuns(context, "a mixing agent");
  const { rows } = opened;
  const { trajectories: count, rounds, round_steps, batch_size: batchSize } = options;
  const places = placesOf(options.new_groups ?? [], rows.counts, "--new-groups");
  const isTarget = rows.names.map((_, k) => places.includes(k));
  const natural = bySize(rows.counts);
  const steps = rounds * round_steps;
  opened.choices.rate(1, steps); // refuses a schedule that does not fit before any work
  const planned = Array.from({ length: count }, (_, place) => {
    const mixtures = explored({ natural, isTarget, rounds, seed, place });
    const source = new MixtureSource(rows, { batchSize, seed: seed + place, shuffle: true });
    return { mixtures, source, sampler: explorer(mixtures, round_steps) };
  });
  if (context.dryRun) {
    const lengths = `of ${rounds} rounds, ${steps} steps each`;
    describeRuns(context, opened, { runs: count, steps: count * steps, lengths, more: { rounds, round_steps } });
    return {};
  }
  const runs = planned.map(({ source, sampler }, i) => {
    const needs = ["losses"] as const;
    const control = { method: "mix-agent", sampler, needs, source, steps, taskLoss: "token-mean", context } as const;
    return { on: `mixtures ${i + 1}`, source, steps, follow: new MixtureController(control) };
  });
  const { start, after } = await measure(context, opened, runs);
  const made = planned.map(({ mixtures, sampler }, i) => ({
    groups: rows.names,
    target: places.map((k) => rows.names[k]!),
    natural,
    start,
    rounds: [...sampler.rounds, { probs: mixtures.at(-1)!, losses: after[i]! }],
    steps: round_steps,
  }));
  return result(made.map((line) => JSON.stringify(line)).join("\n"), {
    groups: rows.names,
    trajectories: count,
    steps,
  });
}

async function read(files: readonly string[]): Promise<Trajectory[]> {
  const found: Trajectory[] = [];
  const hint = "bun run curriculum mix-agent collect writes such rows";
  for (const file of files)
    for await (const { value, place } of readJsonFile(file, { hint })) found.push(trajectoryFrom(value, place));
  if (found.length === 0) throw new UserError("there are no trajectories to learn from", hint);
  return found;
}

function weightsOf(given: readonly number[]): FieldWeights {
  const [old = -1, target = -1] = given;
  if (given.length === 2 && old >= 0 && target >= 0 && old + target > 0) return [old, target];
  throw new UserError(`--field-weights ${given.join(",")} should be two numbers of at least 0`, "such as 1,1");
}

/** Learns on the host. */
async function fit(context: AgentContext): Promise<Outcome> {
  const { options, args, seed, progress } = context;
  if (args.length === 0) throw new UserError("mix-agent fit names no trajectories", "curriculum mix-agent fit FILE");
  const result = textResult(context, args);
  const weights = weightsOf(options.field_weights);
  const trajectories = await read(args);
  const { history, hidden, clone_steps: cloneSteps, agent_steps: steps, agent_lr: lr } = options;
  const rounds = trajectories.reduce((sum, each) => sum + each.rounds.length, 0);
  if (context.dryRun) {
    context.print(`${trajectories.length} trajectories of ${rounds} rounds in all, ${cloneSteps + steps} steps`);
    context.json({ trajectories: trajectories.length, rounds, steps: cloneSteps + steps });
    return {};
  }
  progress.start({ total: cloneSteps + steps, unit: "steps" });
  const { policy, figures } = learnAgent(
    trajectories,
    {
      ...{ history, hidden, weights, cloneSteps, steps, lr, seed },
      ...{ conservative: options.conservative, cloning: options.cloning, gamma: options.discount },
      ...{ best: options.best_share, batch: options.agent_batch, proposals: options.proposals },
    },
    () => progress.advance(1),
  );
  progress.done();
  const roundSteps = trajectories[0]!.steps;
  context.log.event("result", { value: figures });
  context.info(
    `${trajectories.length} trajectories, ${rounds} rounds; cross-entropy of the best ones' mixtures ${figures.cloning.toFixed(3)}, ` +
      `error of values ${figures.bellman.toFixed(3)}; train with --method mix-agent --agent FILE --every ${roundSteps}`,
  );
  const about = { trajectories: trajectories.length, rounds, ...figures };
  return result(JSON.stringify({ ...agentJson({ history, hidden, policy }), ...about }), about);
}

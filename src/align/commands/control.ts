/** `align control`: learns a small policy from logged steps of a world, and measures it in the world; needs no GPU. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { anyAction, isWorldTask } from "../../data/worlds/behaviours.ts";
import type { World } from "../../data/worlds/world.ts";
import { UserError } from "../../errors.ts";
import { type Bound, bind } from "../../method/bind.ts";
import { loadMethods } from "../../method/registry.ts";
import { checkFile, saveNetworks } from "../../run/small-nets/file.ts";
import { headOf } from "../../run/small-nets/head-of.ts";
import { keptTogether } from "../../run/small-nets/kept.ts";
import { Cloning } from "../control/cloning.ts";
import type { Actor, ControlMethod, Learning } from "../control/contract.ts";
import { BEGINNING, follow } from "../control/course.ts";
import { type Returns, returnsOf } from "../control/evaluating.ts";
import { Networks } from "../control/networks.ts";
import type { CONTROL } from "../control/options.ts";
import { ControlState } from "../control/state.ts";
import { readTransitions } from "../control/transitions.ts";

/** How long an interrupted run may take to finish what it is at and save. */
const SAVING_SECONDS = 600;

type ControlContext = Context<typeof CONTROL, "control">;

/** The world that `--environment` names. Throws UserError for a task without one. */
async function worldOf({ options, picks }: ControlContext): Promise<World> {
  const { method, values } = picks.environment[0]!;
  if (isWorldTask(method)) return method.world(options.environment_seed, values);
  const known = (await loadMethods("task")).filter(isWorldTask).map(({ name }) => name);
  throw new UserError(`--environment ${method.name} is no world to act in`, `the worlds are ${known.join(", ")}`);
}

const told = ({ mean, error }: Returns) => ({ mean, error });

/** What a run needs that is not on the command line. Throws UserError. */
async function prepare(context: ControlContext, { method, values }: Bound<ControlMethod>) {
  const { options, args } = context;
  if (options.hidden.some((units) => units < 1))
    throw new UserError(`--hidden ${options.hidden.join(",")}: a layer has one unit or more`, "give 32,32");
  method.check?.(values);
  const world = await worldOf(context);
  const rows = await readTransitions(options.data, world, headOf(world.actions));
  const from = args[0] === undefined ? undefined : await Networks.read(args[0]);
  const updates = method.updates(values, options);
  if (updates === 0 && !from) throw new UserError("there is nothing to learn in no updates", "raise --steps");
  return { world, rows, from, updates };
}

/** Clones the rows and lets the method learn, with states saved on the way. Throws when it was interrupted. */
async function run(
  context: ControlContext,
  courses: { readonly cloning: Cloning; readonly learning: Learning },
  counter: { ticks: number },
  { lineage, saved, total }: { lineage: readonly LineageEntry[]; saved: ControlState; total: number },
): Promise<void> {
  const { options, signal, progress } = context;
  const { cloning, learning } = courses;
  const kept = keptTogether({ ...courses });
  const stages = [...cloning.stages, ...learning.stages];
  const begun = await saved.read();
  if (begun) {
    kept.load(begun.numbers);
    counter.ticks = begun.ticks;
    context.info(`continuing after update ${begun.ticks} of ${total}`);
  }
  progress.start({ total, unit: "updates" });
  progress.advance(counter.ticks);
  if (saved.folder !== undefined) context.grace(SAVING_SECONDS);
  let last = counter.ticks;
  await follow({ stages }, begun?.place ?? BEGINNING, async (place) => {
    const isDue = options.save_every > 0 && counter.ticks - last >= options.save_every;
    if (saved.folder !== undefined && (isDue || signal.aborted)) {
      last = counter.ticks;
      await saved.write({ place, ticks: last, numbers: kept.state() }, learning.networks(), lineage);
      if (signal.aborted) context.info(`saved update ${last} in ${saved.folder}; continue with --resume`);
    }
    signal.throwIfAborted();
  });
  progress.done();
}

export async function control(context: ControlContext): Promise<Outcome> {
  const { options, seed, signal, progress, version, out } = context;
  const bound: Bound<ControlMethod> = bind<ControlMethod>(context.method!, context.settings);
  const { method, values } = bound;
  const { world, rows, from, updates } = await prepare(context, bound);
  const found = { method: method.name, environment: world.name, rows: rows.all.length, optimum: world.optimum };
  if (context.dryRun) {
    context.json({ ...found, updates });
    context.print(`${world.name}: ${found.rows} rows, ${updates} updates, optimum ${world.optimum.toPrecision(4)}`);
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  const measured = (actor: Actor, greedy = false) => returnsOf(world, actor, options.episodes, seed, greedy);
  const saved = new ControlState(context, [...(from ? [from.checkpoint.headerSha256] : []), rows.digest()]);
  const counter = { ticks: 0 };
  let paused = performance.now();
  async function tick(): Promise<void> {
    counter.ticks++;
    progress.advance(1);
    if (performance.now() - paused < 50) return;
    await Bun.sleep(0); // lets Ctrl-C through
    paused = performance.now();
    if (saved.folder === undefined) signal.throwIfAborted();
  }
  const note = (step: number, numbers: object) => context.log.event("control", { step, ...numbers });
  const setup = { world, rows, training: options, seed, tick };
  const cloning = new Cloning(setup);
  const learning = method.begin({ ...setup, values, note, ...(from ? { from } : {}) });
  const step = { script: "align control", version, method: method.name, options: context.chosen, seed };
  const read = from ? [{ checkpoint: from.checkpoint, role: "model" }] : [];
  const lineage = lineageOf(step, read, (text) => context.warn(text), [{ ref: options.data, role: "data" }]);
  await run(context, { cloning, learning }, counter, { lineage, saved, total: options.steps + updates });
  const learnt = learning.learnt();
  const baselines = {
    uniform: told(measured((_, random) => anyAction(world, random!))),
    ...(options.steps > 0 ? { cloned: told(measured(cloning.policy.actor())) } : {}),
  };
  const [drawn, greedy] = [measured(learnt.actor), measured(learnt.actor, true)];
  await saveNetworks(out, learning.networks(), lineage);
  saved.end();
  context.json({ ...found, return: told(drawn), greedy: told(greedy), baselines, ...learnt.told, out });
  const line = (name: string, { mean, error }: Returns) =>
    `${name.padEnd(8)} ${mean.toFixed(4)} +- ${error.toFixed(4)}`;
  if (!options.json)
    context.print(
      [
        line("policy", drawn),
        line("greedy", greedy),
        ...(baselines.cloned ? [line("cloned", baselines.cloned)] : []),
        line("uniform", baselines.uniform),
        `optimum  ${world.optimum.toFixed(4)}`,
      ].join("\n"),
    );
  return { output: out };
}

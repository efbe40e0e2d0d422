/** `align control`: learns a small policy from logged steps of a world, and measures it in the world; needs no GPU. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { anyAction, isWorldTask } from "../../data/worlds/behaviours.ts";
import type { World } from "../../data/worlds/world.ts";
import { UserError } from "../../errors.ts";
import { type Bound, bind } from "../../method/bind.ts";
import { loadMethods } from "../../method/registry.ts";
import { headOf } from "../../run/small-nets/head-of.ts";
import { cloned } from "../control/cloning.ts";
import type { ControlMethod, Learnt } from "../control/contract.ts";
import { type Returns, returnsOf } from "../control/evaluating.ts";
import type { CONTROL } from "../control/options.ts";
import { checkFile, saveNetworks } from "../control/save.ts";
import { readTransitions } from "../control/transitions.ts";

type ControlContext = Context<typeof CONTROL, "control">;

/** The world that `--environment` names. Throws UserError for a task without one. */
async function worldOf({ options, picks }: ControlContext): Promise<World> {
  const { method, values } = picks.environment[0]!;
  if (isWorldTask(method)) return method.world(options.environment_seed, values);
  const known = (await loadMethods("task")).filter(isWorldTask).map(({ name }) => name);
  throw new UserError(`--environment ${method.name} is no world to act in`, `the worlds are ${known.join(", ")}`);
}

/** Writes the networks with their history. */
function save(context: ControlContext, method: string, { tensors }: Learnt): Promise<void> {
  const { seed, version, chosen, out, options } = context;
  const step = { script: "align control", version, method, options: chosen, seed };
  const lineage = lineageOf(step, [], (text) => context.warn(text), [{ ref: options.data, role: "data" }]);
  return saveNetworks(out, tensors, lineage);
}

const told = ({ mean, error }: Returns) => ({ mean, error });

export async function control(context: ControlContext): Promise<Outcome> {
  const { options, seed, signal, progress } = context;
  const { method, values }: Bound<ControlMethod> = bind<ControlMethod>(context.method!, context.settings);
  if (options.hidden.some((units) => units < 1))
    throw new UserError(`--hidden ${options.hidden.join(",")}: a layer has one unit or more`, "give 32,32");
  method.check?.(values);
  const world = await worldOf(context);
  const rows = await readTransitions(options.data, world, headOf(world.actions));
  const updates = method.updates(values, options);
  const found = { method: method.name, environment: world.name, rows: rows.all.length, optimum: world.optimum };
  if (context.dryRun) {
    context.json({ ...found, updates });
    context.print(`${world.name}: ${found.rows} rows, ${updates} updates, optimum ${world.optimum.toPrecision(4)}`);
    return {};
  }
  checkFile(context.out);
  await tryTarget(context.out);
  const measured = (actor: Learnt["actor"], greedy = false) => returnsOf(world, actor, options.episodes, seed, greedy);
  let paused = performance.now();
  async function tick(): Promise<void> {
    progress.advance(1);
    if (performance.now() - paused < 50) return;
    await Bun.sleep(0); // lets Ctrl-C through
    paused = performance.now();
    signal.throwIfAborted();
  }
  progress.start({ total: options.steps + updates, unit: "steps" });
  const setup = { world, rows, training: options, seed, tick };
  const cloning = (await cloned(setup)).actor();
  const baselines = {
    uniform: told(measured((_, random) => anyAction(world, random!))),
    cloned: told(measured(cloning)),
  };
  const note = (step: number, numbers: object) => context.log.event("control", { step, ...numbers });
  const learnt = await method.learn({ ...setup, values, note });
  progress.done();
  const [drawn, greedy] = [measured(learnt.actor), measured(learnt.actor, true)];
  await save(context, method.name, learnt);
  const result = { ...found, return: told(drawn), greedy: told(greedy), baselines, ...learnt.told, out: context.out };
  context.json(result);
  const line = (name: string, { mean, error }: Returns) =>
    `${name.padEnd(8)} ${mean.toFixed(4)} +- ${error.toFixed(4)}`;
  if (!options.json)
    context.print(
      [
        line("policy", drawn),
        line("greedy", greedy),
        line("cloned", baselines.cloned),
        line("uniform", baselines.uniform),
        `optimum  ${world.optimum.toFixed(4)}`,
      ].join("\n"),
    );
  return { output: context.out };
}

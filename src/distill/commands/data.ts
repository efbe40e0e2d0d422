/** `distill --target data`: makes a few rows that teach what many do, or what a trained model holds. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { textResult } from "../../cli/text-result.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { bind } from "../../method/bind.ts";
import { describeModel } from "../../run/open-model.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { type Network, networkOf } from "../../run/twice/network.ts";
import { storedWeights } from "../../run/twice/stored-weights.ts";
import type { RealRows, SynthesisMethod } from "../data/contract.ts";
import { rowLines, writeTensors } from "../data/write.ts";
import type { SYNTHESIS } from "../options.ts";

type DataContext = Context<typeof SYNTHESIS, "synthesis">;

/** Throws UserError for a model or rows that the method does not take. */
function checkGiven(method: SynthesisMethod, context: DataContext): void {
  const { options, args } = context;
  const named = args[0];
  if (method.model === "config" && named !== undefined)
    throw new UserError(
      `--method ${method.name} trains networks of its own, and ${named} is a model`,
      "give their form: --init config.json",
    );
  if (method.model === "trained" && options.init !== undefined)
    throw new UserError(
      `--method ${method.name} looks into a trained model, and --init ${options.init} is none`,
      "name the model as argument",
    );
  if (method.rows === "needed" && options.data === undefined)
    throw new UserError(`--method ${method.name} needs the real rows`, "--data rows.jsonl");
  if (method.rows === "none" && options.data !== undefined)
    throw new UserError(`--method ${method.name} reads no rows, the model is all that it knows`, "leave out --data");
}

/** The model's form, and what it reads. */
async function open(context: DataContext, method: SynthesisMethod) {
  const { options, args, seed } = context;
  const begun = await start({
    model: args[0] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, {}, (text) => context.warn(text));
  const network = networkOf(described, begun.ref, `--method ${method.name}`);
  const examples = options.data
    ? await loadExamples(groupsOf(options.data, "--data", options.columns), described.examples)
    : undefined;
  return { begun, network, examples };
}

/** Rows side by side. */
function realRows(examples: readonly Example[], { inputs }: Network): RealRows {
  const x = new Float64Array(examples.length * inputs);
  for (const [i, example] of examples.entries()) if ("x" in example) x.set(example.x, i * inputs);
  return { x, labels: examples.map(({ label }) => label) };
}

const weightsOf = ({ isNew, tensors }: Start, network: Network) =>
  isNew || !tensors ? undefined : storedWeights(network, tensors);

export async function distillData(context: DataContext): Promise<Outcome> {
  const { options, args, seed, signal, out } = context;
  const { method, values } = bind(context.method!, context.settings);
  checkGiven(method, context);
  const files = [...args, ...(options.data ?? []), ...(options.init === undefined ? [] : [options.init])];
  const result = textResult(context, files);
  if (options.tensors !== undefined) {
    refuseInputs(options.tensors, files, "--tensors");
    if (!options.tensors.endsWith(".safetensors"))
      throw new UserError(`--tensors ${options.tensors}: it is one file of tensors`, "name it NAME.safetensors");
  }
  const { begun, network, examples } = await open(context, method);
  method.check?.(values, network);
  const steps = options.steps ?? method.steps;
  const count = options.per_class * network.classes;
  const about = {
    method: method.name,
    rows: count,
    per_class: options.per_class,
    steps,
    real_rows: examples?.length ?? 0,
  };
  if (context.dryRun) {
    context.json(about);
    context.print(`${count} rows of ${network.classes} classes in ${steps} steps, of ${about.real_rows} real rows`);
    return {};
  }
  const weights = await weightsOf(begun, network);
  context.progress.start({ total: steps, unit: "steps" });
  const losses: number[] = [];
  const made = await method.make({
    ...{ network, weights, values, perClass: options.per_class, steps, seed, signal },
    rows: examples && realRows(examples, network),
    done(loss) {
      losses.push(loss);
      context.progress.advance(1, undefined, `loss ${Number(loss.toPrecision(4))}`);
      context.log.event("step", { step: losses.length, loss });
    },
    info: (text) => context.info(text),
  });
  context.progress.done();
  if (!made.x.every(Number.isFinite))
    throw new UserError("the rows went beyond every number", "smaller learning rates keep them in bounds", 1);
  const asImages = network.image !== undefined && (examples?.some((one) => "x" in one && one.shape.length > 1) ?? true);
  if (options.tensors !== undefined) {
    const step = { script: "distill", version: context.version, method: method.name, options: context.chosen, seed };
    const others = [...begun.others, ...(options.data ?? []).map((ref) => ({ ref, role: "data" }))];
    const lineage = lineageOf(step, begun.read, (text) => context.warn(text), others);
    await writeTensors(options.tensors, made, network, lineage);
  }
  const told = {
    ...about,
    rows: made.labels.length,
    loss: losses.at(-1) ?? null,
    ...(made.rate === undefined ? {} : { lr: made.rate }),
    ...(made.steps === undefined ? {} : { inner_steps: made.steps }),
    ...made.told,
  };
  const outcome = result(rowLines(made, network, asImages), told);
  if (made.rate !== undefined && made.steps !== undefined)
    context.info(`they are for ${made.steps} steps of gradient descent at a rate of ${made.rate.toPrecision(4)}`);
  context.log.event("made", told);
  return outcome.output === undefined ? outcome : { ...outcome, output: `${out} (${made.labels.length} rows)` };
}

/** `distill --method meta-dmoe`: a student that one step towards experts of other domains adapts to a new one. */
import type { TensorInfo } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { saveAggregator } from "../../run/twice/aggregator-file.ts";
import { checkExperts } from "../../run/twice/experts-fit.ts";
import { openNetwork } from "../../run/twice/opened-network.ts";
import type { RealRows } from "../data/contract.ts";
import { metaTrained } from "../domains/meta-training.ts";
import type { DOMAINS } from "../options.ts";

type DomainsContext = Context<typeof DOMAINS>;

/** Throws UserError for options that miss something, before anything is read. */
function checkGiven({ options, args, out }: DomainsContext) {
  const refs = [...(options.teacher ?? []), ...args];
  if (refs.length < 2)
    throw new UserError(`meta-dmoe needs several experts, got ${refs.length}`, "--teacher a/ --teacher b/");
  if (options.student === undefined)
    throw new UserError("there is no student", "--student model/, trained on the rows of all domains");
  const groups = groupsOf(options.data, "--data");
  if (groups.length !== refs.length)
    throw new UserError(
      `${refs.length} experts have ${groups.length} groups of rows`,
      "give the rows of each expert's domain, in the order of the experts: --data a.jsonl --data b.jsonl",
    );
  if (options.aggregator === undefined || !options.aggregator.endsWith(".safetensors"))
    throw new UserError(
      options.aggregator === undefined
        ? "there is no file for the aggregator, without which the student cannot adapt"
        : `--aggregator ${options.aggregator}: it is one file of tensors`,
      "--aggregator NAME.safetensors",
    );
  const inputs = [...refs, options.student, ...groups.map(({ path }) => path)];
  refuseInputs(out, inputs);
  refuseInputs(options.aggregator, inputs, "--aggregator");
  return { refs, groups, student: options.student, aggregator: options.aggregator };
}

export async function distillDomains(context: DomainsContext): Promise<Outcome> {
  const { options, seed, signal, out } = context;
  const given = checkGiven(context);
  const wanted = "meta-dmoe";
  const student = await openNetwork(given.student, wanted);
  const experts = await Promise.all(given.refs.map((ref) => openNetwork(ref, wanted)));
  const { network } = student;
  checkExperts(network, experts);
  if (network.width % options.heads !== 0)
    throw new UserError(
      `--heads ${options.heads} does not divide the ${network.width} numbers that heads of models read`,
      "give a divisor of them",
    );
  const shape = network.image ? [network.image.channels, network.image.side, network.image.side] : [network.inputs];
  const examples = await loadExamples(given.groups, { classes: network.classes, shape });
  const domains = given.groups.map(({ name }, group): RealRows => {
    const own = examples.filter((example) => example.group === group);
    if (own.length < 2)
      throw new UserError(`${name} has ${own.length} rows`, "a half of them is support, a half query");
    const x = new Float64Array(own.length * network.inputs);
    for (const [i, example] of own.entries()) if ("x" in example) x.set(example.x, i * network.inputs);
    return { x, labels: own.map(({ label }) => label) };
  });
  const about = { method: "meta-dmoe", experts: experts.length, rows: examples.length, steps: options.steps };
  if (context.dryRun) {
    context.json(about);
    context.print(`${about.experts} experts, ${about.rows} rows, ${options.steps} episodes`);
    return {};
  }
  const step = { script: "distill", version: context.version, method: "meta-dmoe", options: context.chosen, seed };
  const read = [
    { checkpoint: student.checkpoint, role: "student" },
    ...experts.map(({ checkpoint }) => ({ checkpoint, role: "teacher" })),
  ];
  const lineage = lineageOf(step, read, (text) => context.warn(text));
  const tensors: (TensorInfo & { readonly dtype: "F32" })[] = network.specs.map(({ name, shape: own }) => ({
    ...{ name, shape: own, dtype: "F32" as const },
    bytes: 4 * own.reduce((a, b) => a * b, 1),
  }));
  const writer = await createWriter(out, { tensors, files: student.checkpoint.files, lineage });
  try {
    const form = { width: network.width, classes: network.classes, heads: options.heads };
    const last = { aggregator: Number.NaN, meta: Number.NaN };
    context.progress.start({ total: options.aggregator_steps + options.steps, unit: "steps" });
    const made = await metaTrained({
      ...{ student, experts, domains, form, seed, signal },
      ...{ steps: options.steps, aggregatorSteps: options.aggregator_steps, support: options.support },
      ...{ innerRate: options.inner_lr, firstOrder: options.first_order, drop: options.aggregator_drop },
      ...{ studentRate: options.lr, aggregatorRate: options.aggregator_lr },
      done(phase, loss) {
        last[phase] = loss;
        context.progress.advance(1);
        context.log.event("step", { phase, loss });
      },
    });
    context.progress.done();
    for (const { name } of writer.tensors)
      await writer.write(name, new Uint8Array(Float32Array.from(made.student.get(name)!.data).buffer));
    await saveAggregator(given.aggregator, { weights: made.aggregator, form, rate: options.inner_lr }, lineage);
    await writer.finish();
    const loss = Number.isFinite(last.meta) ? last.meta : null;
    context.json({ ...about, loss, out, aggregator: given.aggregator });
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { output: out === "-" ? "stdout" : out };
}

/**
 * `distill label`: classifiers vote on the labels of rows, which any of them or their merge is then trained on. Sun et
 * al., "Feature Distribution Matching for Federated Domain Generalization", ACML 2022, https://arxiv.org/abs/2203.11635
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { stackExamples } from "../../data/batch.ts";
import { type Example, type ExampleReader, loadExamples } from "../../data/examples.ts";
import { rowObjects } from "../../data/files/row-objects.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import type { LABEL } from "../options.ts";
import { voteOn } from "../vote.ts";

type LabelContext = Context<typeof LABEL>;

/** Throws UserError for what is no classifier, or knows other classes than the first. */
function checkTeachers(teachers: readonly DescribedModel[]): void {
  const classes = teachers[0]!.sizes.outputs;
  for (const { ref, task, sizes, examples } of teachers) {
    if (task !== "classifier" || examples.pairs || examples.everyToken || examples.predicts !== undefined)
      throw new UserError(`${ref} gives no class to a row`, "teachers that vote are classifiers");
    if (sizes.outputs !== classes)
      throw new UserError(
        `${teachers[0]!.ref} knows ${classes} classes and ${ref} ${sizes.outputs}`,
        "teachers that vote know the same classes",
      );
  }
}

/** What rows call the class: its name, where the first teacher has names. */
function nameOf({ text }: ExampleReader, label: number): number | string {
  return Object.entries(text?.labels ?? {}).find(([, number]) => number === label)?.[0] ?? label;
}

async function* probabilities(model: Model, examples: readonly Example[], rows: number, signal: AbortSignal) {
  const scorer = new Scorer(model, undefined, { probabilities: true });
  try {
    for (let from = 0; from < examples.length; from += rows) {
      signal.throwIfAborted();
      const part = examples.slice(from, from + rows);
      const { probabilities: found } = await scorer.score(stackExamples(part));
      const classes = found!.length / part.length;
      for (const row of part.keys()) yield found!.slice(row * classes, (row + 1) * classes);
    }
  } finally {
    await scorer.free();
  }
}

export async function label(context: LabelContext): Promise<Outcome> {
  const { options, args, signal, progress } = context;
  const refs = [...(options.teacher ?? []), ...args];
  if (refs.length === 0) throw new UserError("there is no teacher", "--teacher model/, once for each that votes");
  const groups = groupsOf(options.data, "--data", options.columns);
  const paths = groups.map(({ path }) => path);
  const result = textResult(context, [...paths, ...refs.filter((ref) => ref !== "-")]);
  const warn = (text: string) => context.warn(text);
  const teachers: Awaited<ReturnType<typeof openModel>>[] = [];
  for (const ref of refs) {
    const teacher = await openModel(ref, options, warn);
    context.onExit(() => teacher.checkpoint.close());
    teachers.push(teacher);
  }
  checkTeachers(teachers);
  const objects = await rowObjects(paths, "label");
  if (objects.length === 0) throw new UserError("there are no rows", "give rows without labels: --data rows.jsonl");
  const seen: Example[][] = [];
  for (const { examples } of teachers) seen.push(await loadExamples(groups, { ...examples, unlabelled: true }));
  if (context.dryRun) {
    context.json({ rows: objects.length, teachers: teachers.length });
    context.print(`${objects.length} rows, ${teachers.length} teachers`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const said = objects.map((): Float32Array[] => []);
  progress.start({ total: objects.length * teachers.length, unit: "rows" });
  for (const [i, teacher] of teachers.entries()) {
    const model = await Model.load(gpu, teacher.checkpoint, { freeze: () => true });
    let row = 0;
    for await (const shares of probabilities(model, seen[i]!, options.batch_size, signal)) said[row++]!.push(shares);
    progress.advance(objects.length);
    model.free();
  }
  progress.done();
  const votes = said.map(voteOn);
  const kept = votes.flatMap((vote, i) => (vote.share >= options.agree ? [{ ...vote, row: objects[i]! }] : []));
  const whole = votes.filter(({ share }) => share === 1).length;
  context.info(`${kept.length} of ${objects.length} rows are labelled; all teachers agree on ${whole}`);
  if (kept.length === 0) throw new UserError(`no row has ${options.agree} of the votes`, "lower --agree");
  const lines = kept.map(({ row, label: own, share }) =>
    JSON.stringify({ ...row, label: nameOf(teachers[0]!.examples, own), votes: share }),
  );
  return result(lines.join("\n"), { rows: objects.length, labelled: kept.length, agreed: whole });
}

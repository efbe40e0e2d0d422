/** `evaluate klom`: how far unlearned models are from retrained ones, over several models of each. */
import type { Context, Outcome } from "../../cli/context.ts";
import { loadExamples } from "../../data/examples.ts";
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { ClassView, expectClasses } from "../../run/probing/class-view.ts";
import { table } from "../../text/table.ts";
import { klomOfPoints, margin, summary } from "../klom.ts";
import type { KLOM } from "../klom-options.ts";

type KlomContext = Context<typeof KLOM>;

/** Margins of the points of every group, as one model says them. */
async function marginsOf(
  context: KlomContext,
  gpu: Gpu | undefined,
  ref: string,
  groups: readonly GroupReference[],
): Promise<Float64Array[]> {
  const { options, progress } = context;
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint, architecture, examples } = opened;
  try {
    expectClasses(opened, "evaluate klom");
    if (examples.predicts !== undefined)
      throw new UserError(`${ref} predicts numbers, which have no margins`, "name classifiers");
    if (!gpu) {
      for (const group of groups) await loadExamples([group], examples);
      return [];
    }
    const model = await Model.load(gpu, checkpoint, { dtype: options.dtype, freeze: () => true });
    const view = new ClassView(model);
    const found: Float64Array[] = [];
    for (const group of groups) {
      const { batches } = await readBatches([group], opened, 64);
      const { logits, labels } = await view.read(batches);
      const classes = logits.length / labels.length;
      found.push(
        Float64Array.from(labels, (label, row) => margin(logits.subarray(row * classes, (row + 1) * classes), label)),
      );
    }
    view.free();
    model.free();
    progress.advance(1, architecture.name);
    return found;
  } finally {
    checkpoint.close();
  }
}

export async function evaluateKlom(context: KlomContext): Promise<Outcome> {
  const { options, progress, signal } = context;
  const { unlearned, retrained, again = [] } = options;
  const groups = groupsOf(options.data, "--data", options.columns);
  if (unlearned.length < 2 || retrained.length < 2)
    throw new UserError(
      `${unlearned.length} unlearned and ${retrained.length} retrained models make no distributions of margins`,
      "give --unlearned and --retrained two models or more each; the paper has 100",
    );
  if (again.length === 0 && retrained.length < 4)
    throw new UserError("there are too few retrained models to halve for the noise floor", "give --again others");
  const all = [...unlearned, ...retrained, ...again];
  if (context.dryRun) {
    await marginsOf(context, undefined, all[0]!, groups);
    context.print(`margins of ${all.length} models on ${groups.map(({ name }) => name).join(", ")}`);
    context.json({ unlearned: unlearned.length, retrained: retrained.length, again: again.length });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  progress.start({ total: all.length, unit: "models" });
  const margins: Float64Array[][] = [];
  for (const ref of all) {
    signal.throwIfAborted();
    margins.push(await marginsOf(context, gpu, ref, groups));
  }
  progress.done();
  const lines = groups.map(({ name }, g) => {
    const own = margins.map((model) => model[g]!);
    const ours = own.slice(0, unlearned.length);
    const theirs = own.slice(unlearned.length, unlearned.length + retrained.length);
    const others = own.slice(unlearned.length + retrained.length);
    const [one, other] = others.length > 0 ? [others, theirs] : halves(theirs);
    return {
      ...{ group: name, points: own[0]!.length },
      ...{ klom: summary(klomOfPoints(ours, theirs)), floor: summary(klomOfPoints(one, other)) },
    };
  });
  const said = (x: number) => x.toFixed(3);
  context.print(
    table(
      [
        ["group", "points", "KLoM", "95 %", "floor", "95 %"],
        ...lines.map(({ group, points, klom, floor }) => [
          ...[group, `${points}`, said(klom.mean), said(klom.p95)],
          ...[said(floor.mean), said(floor.p95)],
        ]),
      ],
      { align: "lrrrrr" },
    ),
  );
  context.json({
    unlearned: unlearned.length,
    retrained: retrained.length,
    floor_of: again.length > 0 ? [again.length, retrained.length] : halves(retrained).map(({ length }) => length),
    groups: lines,
  });
  return {};
}

/** The first half of a list, and the others. */
const halves = <T>(list: readonly T[]): [T[], T[]] => {
  const half = list.length >> 1;
  return [list.slice(0, half), list.slice(half)];
};

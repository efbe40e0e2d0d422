/**
 * ViDA: a low-rank and a high-rank adapter beside every linear layer, weighed by how unsure the teacher is. Liu et al.,
 * ICLR 2024, https://arxiv.org/abs/2306.04344
 *
 *   layer     y = W x + s_l U_l D_l x + s_h U_h D_h x; U begins at 0, D is normal of deviation 1 / r^2
 *   unsure    u = 0.1 times the mean over rows and classes of the variance of the teacher's logits over views, at unit
 *             scales; s_h = 1 + u and s_l = 1 - u where u reaches a threshold, the other way round below it
 *   loss      mean of CE(softmax of the teacher's logits, p), both at these scales
 *   teacher   moving averages of adapters and of weights; then each weight of the student goes back by chance
 *   before    the adapters alone learn labelled source rows, or they begin without effect
 *
 * The authors' code sets one of the two scales at a time; here both are set. The answers are the teacher's. A layer's
 * whole weight is W + s_l U_l D_l + s_h U_h D_h in one matrix, so that what is saved, at unit scales, is the model
 * itself.
 */
import { stackExamples } from "../../../data/batch.ts";
import { Random } from "../../../data/random.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import type { Model } from "../../../model/model.ts";
import { Programs } from "../../../run/programs.ts";
import { type Setting, testTimeMethod } from "../../../run/test-time/contract.ts";
import { softCrossEntropy } from "../../../run/test-time/losses.ts";
import { overViews } from "../../../run/test-time/probabilities.ts";
import { Restoring } from "../../../run/test-time/restoring.ts";
import { Student } from "../../../run/test-time/student.ts";
import { RESTORING, TEACHER } from "../../../run/test-time/teacher-options.ts";
import type { Wearing } from "../../../run/test-time/weight-copies.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, scale } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { mean } from "../../../tensor/ops/reduce.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

const BRANCHES = ["low", "high"] as const;
type Branch = (typeof BRANCHES)[number];
const UNIT = { low: 1, high: 1 };

/** One branch of one layer. */
interface Pair {
  readonly branch: Branch;
  readonly up: Parameter;
  readonly down: Parameter;
}

/** The layers with adapters: those of attention, or where there is none all hidden ones. */
function layersOf(model: Model): Parameter[] {
  const hidden = [...model.parameters.values()].filter(
    ({ name, isHidden }) => isHidden && !/(^|\.)classifier\./.test(name),
  );
  const attention = hidden.filter(({ name }) => /attention|attn/.test(name));
  return attention.length > 0 ? attention : hidden;
}

/** Adapters of every layer; a rank of 0 is none. */
function adaptersOf(
  { gpu, model, seed }: Setting,
  ranks: Readonly<Record<Branch, number>>,
): ReadonlyMap<Parameter, readonly Pair[]> {
  const pairOf = (layer: Parameter, branch: Branch): Pair => {
    const [rows = 0, columns = 0] = layer.shape;
    const rank = ranks[branch];
    const up = new Parameter(gpu, `${layer.name} ${branch} up`, [rows, rank]);
    const down = new Parameter(gpu, `${layer.name} ${branch} down`, [rank, columns]);
    const random = new Random(seed, "vida", down.name);
    up.write(new Float32Array(up.size));
    down.write(Float32Array.from({ length: down.size }, () => random.normal() / rank ** 2));
    return { branch, up, down };
  };
  return new Map(
    layersOf(model).map((layer) => [
      layer,
      BRANCHES.filter((branch) => ranks[branch] > 0).map((branch) => pairOf(layer, branch)),
    ]),
  );
}

/** The whole weight of a layer, by copies of weights where there are some. */
function wholeOf(
  rec: Recorder,
  layer: Parameter,
  pairs: readonly Pair[],
  copies?: ReadonlyMap<Parameter, Parameter>,
): Tensor {
  const own = (parameter: Parameter) => rec.parameter(copies?.get(parameter) ?? parameter);
  return pairs.reduce((sum, { branch, up, down }) => {
    const change = linear(rec, own(up), own(down), { transposed: true });
    return add(rec, sum, scale(rec, change, dynamic(branch)));
  }, own(layer));
}

export const method = testTimeMethod({
  name: "vida",
  title: "ViDA",
  about: "low- and high-rank adapters beside linear layers, weighed by the teacher's uncertainty",
  cite: "arXiv:2306.04344",
  options: {
    ...TEACHER,
    ...RESTORING,
    rank_low: { type: "number.integer >= 0", default: 1, help: "rank of the adapters of what domains share; 0: none" },
    rank_high: { type: "number.integer >= 0", default: 128, help: "rank of those of each domain; 0: none" },
    unsure_from: { type: "number >= 0", default: 0.2, help: "uncertainty from which high ranks weigh more" },
    unsure_views: { type: "number.integer >= 1", default: 10, help: "views that it is measured over", value: "N" },
    adapter_rate: { type: "number >= 0", default: 0.1, help: "learning rate of adapters, times that of weights" },
    adapter_momentum: { type: "0 <= number <= 1", default: 0.999, help: "share of the teacher's adapters that stays" },
    train_weights: { type: "boolean", default: true, help: "weights learn too; otherwise the adapters alone" },
    adapter_epochs: {
      type: "number.integer >= 0",
      default: 3,
      help: "passes of the adapters over --source rows before the stream, where there are any",
      value: "N",
    },
    adapter_source_rate: { type: "number >= 0", default: 1e-3, help: "learning rate of these passes" },
  },
  trains: "all",
  rate: 1e-4,
  async begin(setting) {
    const { gpu, values, seed } = setting;
    const adapters = adaptersOf(setting, { low: values.rank_low, high: values.rank_high });
    const extra = [...adapters.values()].flat().flatMap(({ up, down }) => [up, down]);
    const wearing =
      (copies?: () => ReadonlyMap<Parameter, Parameter>): Wearing =>
      (rec) => {
        const of = copies?.();
        const whole = [...adapters].map(([layer, pairs]) => [layer, wholeOf(rec, layer, pairs, of)] as const);
        return new Map<Parameter, Parameter | Tensor>([...(of ?? []), ...whole]);
      };
    await trainAdapters(setting, { wearing: wearing(), extra }, values);
    const isAdapter = new Set(extra);
    const rateOf = (parameter: Parameter) =>
      isAdapter.has(parameter) ? values.adapter_rate : values.train_weights ? 1 : 0;
    const student: Student = await Student.make(setting, ({ teacher }) => ({
      loss: (rec, { pass }) => {
        const q = pass(
          "x",
          wearing(() => teacher().of),
        ).logits;
        return mean(rec, softCrossEntropy(rec, q, pass("x").logits));
      },
      ...{ extra, rateOf, wearing: wearing() },
      ...({ teacher: true, source: true } as const),
      worn: wearing(() => teacher().of),
    }));
    const restoring = new Restoring(gpu, student.source.of);
    const follow = async () => {
      const { teacher_momentum: weights, adapter_momentum: own } = values;
      await student.teacher.follow(weights, (parameter) => !isAdapter.has(parameter));
      await student.teacher.follow(own, (parameter) => isAdapter.has(parameter));
    };
    let [batches, total] = [0, 0];
    return {
      async predict(batch) {
        const views = { answers: student.answers, way: "teacher", views: values.unsure_views, values: UNIT };
        const { variance } = await overViews(setting, batch, views);
        const u = (0.1 * variance.reduce((a, b) => a + b, 0)) / variance.length;
        const scales = u >= values.unsure_from ? { high: 1 + u, low: 1 - u } : { high: 1 - u, low: 1 + u };
        const found = await student.answers.of(batch.batch, ["teacher"], scales);
        return { scores: found.get("teacher")!.logits, values: { ...scales, u } };
      },
      async learn({ batch, index }, { values: scales }) {
        batches++;
        total += scales!.u!;
        await student.step({ views: { x: batch }, values: scales! });
        await follow();
        await restoring.byChance(values.restore, (Math.imul(seed, 0x9e3779b9) + index) >>> 0);
      },
      reset() {
        student.reset();
        [batches, total] = [0, 0];
      },
      async finish() {
        student.teacher.give();
        await merge(setting, adapters);
      },
      tells: () => ({ uncertainty: batches > 0 ? total / batches : null }),
      free() {
        restoring.free();
        student.free();
        for (const parameter of extra) parameter.free();
      },
    };
  },
});

interface Training {
  readonly adapter_epochs: number;
  readonly adapter_source_rate: number;
}

/** The adapters alone learn the labels of the source rows. */
async function trainAdapters(
  setting: Setting,
  { wearing, extra }: { readonly wearing: Wearing; readonly extra: readonly Parameter[] },
  { adapter_epochs: epochs, adapter_source_rate: rate }: Training,
): Promise<void> {
  const { source, model, batchSize, signal } = setting;
  if (!source || epochs === 0 || rate === 0 || setting.rate === 0) return;
  const frozen = model.trainable();
  for (const parameter of frozen) parameter.trainable = false;
  const student = await Student.make(setting, () => ({
    loss: (rec, { pass, labels }) => mean(rec, crossEntropy(rec, pass("source").logits, labels("source"))),
    ...{ extra, wearing },
  }));
  const draw = source.drawing("adapters");
  const steps = epochs * Math.ceil(source.rows.length / batchSize);
  for (let step = 0; step < steps; step++) {
    signal.throwIfAborted();
    const rows = stackExamples(draw(Math.min(batchSize, source.rows.length)));
    await student.step({ views: { source: rows }, rate, values: UNIT });
  }
  student.free();
  for (const parameter of frozen) parameter.trainable = true;
}

/** Every layer takes its whole weight at unit scales, and its adapters are at 0 from then on. */
async function merge({ gpu }: Setting, adapters: ReadonlyMap<Parameter, readonly Pair[]>): Promise<void> {
  const programs = new Programs(gpu);
  const { program } = await programs.get("merge", (rec) => {
    for (const [layer, pairs] of adapters) {
      const x = wholeOf(rec, layer, pairs);
      const y = rec.state(layer.name, layer.shape, layer.buffer);
      const groups = spanGroups(Math.ceil(layer.size / 4));
      rec.step({ kernel: "recorder/add-into", bind: { x, y }, params: { n: layer.size, accumulate: 0 }, groups });
    }
  });
  program.run(UNIT);
  programs.free();
  for (const pairs of adapters.values())
    for (const { up } of pairs) gpu.clear(up.buffer, Math.max(16, Math.ceil(up.bytes / 4) * 4));
}
